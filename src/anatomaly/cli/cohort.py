"""What lies over many results: the page and the tables, of plain results or of BIDS derivatives."""

from __future__ import annotations

from pathlib import Path

from anatomaly.names import shown


def write_over_all(output: Path, page: bool = True, tables: bool = True) -> list[Path]:
    """Write `index.html`, `group_volumes.tsv` and `group_lesions.tsv` over all results below OUT.

    Args:
        output: folder with results; in BIDS derivatives of ours both are those of the group level.
        page: whether the page is written.
        tables: whether the tables are.

    Returns:
        The files.

    Raises:
        BidsError: derivatives without a result.
        OutputError: the folder cannot be written.
    """
    from anatomaly.anomaly.lesions import LESION_COLUMNS
    from anatomaly.bids.dataset import derivatives_at
    from anatomaly.bids.group import write_group
    from anatomaly.report.cohort_tables import RESULT_WHOSE, read_scored_maps, write_cohort_tables
    from anatomaly.report.index import result_folders, write_index

    if derivatives := derivatives_at(output):
        return write_group(derivatives)
    written = []
    if tables and not (output / "run.json").is_file():  # a single result needs none
        older = (output / "group_volumes.tsv").is_file()  # whose lines must not stay
        if older or result_folders(output):
            maps = read_scored_maps(output)
            written = write_cohort_tables(output, maps, RESULT_WHOSE, LESION_COLUMNS)
    return [*written, write_index(output)] if page else written


def say_over_all(written: list[Path]) -> str:
    """Return one line that names the files."""
    return "all results: " + ", ".join(map(shown, written))
