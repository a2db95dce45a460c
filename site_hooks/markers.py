"""`<!-- generated: NAME -->` in a page gives way to text that is made when the site is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

MARKER = re.compile(r"^<!-- generated: (.+) -->$", flags=re.M)


def fill_markers(markdown: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return the page with every marker filled in.

    Args:
        markdown: of a page.
        parts: what makes the text, by name.

    Raises:
        KeyError: a marker names nothing that can be made.

    >>> fill_markers("<!-- generated: sum -->", {"sum": lambda: "2"})
    '2'
    """

    def fill(found: re.Match[str]) -> str:
        if found[1] not in parts:
            raise KeyError(f"no generated part {found[1]!r}; there are {sorted(parts)}")
        return parts[found[1]]()

    return MARKER.sub(fill, markdown)
