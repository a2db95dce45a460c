"""What mkdocs calls while it builds: files from outside `docs`, generated parts, links."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from command_lists import list_bids_options, list_commands
from links import to_site_links
from markers import fill_markers
from result_tables import (
    deformed_brains,
    healthy_summary,
    kinds_of_lesion,
    noisy_heads,
    weights_of,
    worst_scans,
)

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
MOUNTED = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/results/*.md", "benchmarks/results/*.png")
"""Files of the checkout that the site shows beside those of `docs`, under the same path."""

PARTS: dict[str, Callable[[], str]] = {
    "commands anatomaly": list_commands,
    "commands anatomaly-bids": list_bids_options,
    "weights detection": partial(weights_of, "detection.md"),
    "weights validation": partial(weights_of, "validation.md"),
    "weights healthy": partial(weights_of, "healthy.md"),
    "weights deformation": partial(weights_of, "experiments.md", "## deformation"),
    "worst-scans": worst_scans,
    "kinds-of-lesion": kinds_of_lesion,
    "healthy-summary": healthy_summary,
    "noisy-heads": noisy_heads,
    "deformed-brains": deformed_brains,
}
"""What stands in the place of `<!-- generated: NAME -->`."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie outside `docs`."""
    from mkdocs.structure.files import File

    for path in sorted(path for pattern in MOUNTED for path in ROOT.glob(pattern)):
        uri = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the generated parts, then let links point to pages instead of files."""
    del config, files
    return to_site_links(fill_markers(markdown, PARTS), page.file.src_uri)
