"""Links between files of the checkout become links between pages of the site.

The site shows `docs` at its root and some files from beside it, so a link from one to the other has
another number of `..`. Other links stay, and mkdocs refuses those that lead nowhere.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import PurePosixPath

LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
DOCS = "docs/"
MOUNTED = ("benchmarks/results/", "CONTRIBUTING.md", "CHANGELOG.md")


def to_site_links(markdown: str, uri: str) -> str:
    """Return a page whose links to files of the checkout lead to their place in the site.

    Args:
        markdown: of a page.
        uri: of the page in the site.

    >>> to_site_links("[all](../../benchmarks/results/detection.md)", "explanation/limits.md")
    '[all](../benchmarks/results/detection.md)'
    """
    source = PurePosixPath(uri if uri.startswith(MOUNTED) else DOCS + uri)

    def point(found: re.Match[str]) -> str:
        file = posixpath.normpath((source.parent / found[2]).as_posix())
        if not file.startswith((DOCS, *MOUNTED)):
            return found[0]
        target = posixpath.relpath(file.removeprefix(DOCS), posixpath.dirname(uri) or ".")
        return f"{found[1]}{target}{found[3]}"

    return LINK.sub(point, markdown)
