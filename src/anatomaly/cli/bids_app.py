"""`anatomaly-bids BIDS_DIR OUT {participant,group}`: the command line of the BIDS Apps.

argparse, because typer cannot take several values after one option (`--participant-label 01 02`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence as Many
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

from anatomaly import __version__
from anatomaly.cli.bids_engine import add_engine_options, engine_options, memory_of
from anatomaly.cli.engines import open_engine
from anatomaly.cli.options import config_of
from anatomaly.cli.progress import Display
from anatomaly.cli.readiness import check_writable, make_ready, use_temporary
from anatomaly.cli.run_scans import Failure, show_failures
from anatomaly.cli.surroundings import surroundings
from anatomaly.config import AnomalyConfig, DetectConfig, DeviceOption
from anatomaly.errors import AnatomalyError, BidsError, ConfigError, OutputError
from anatomaly.names import shown, writable
from anatomaly.scan.bids import BidsSession, Selection, find_sessions, select_sessions
from anatomaly.scan.bids_left_out import LeftOut
from anatomaly.types import SEQUENCES

if TYPE_CHECKING:
    from anatomaly.bids.dataset import Derivatives

OK, FAILED, INVALID_BIDS, UNKNOWN_LEVEL, NOTHING_SELECTED = 0, 1, 16, 17, 18
USAGE, BAD_DATA, NO_INPUT, CANNOT_CREATE, IO_ERROR = 64, 65, 66, 73, 74
"""Exit statuses of the BIDS execution specification, and of BSD's sysexits."""

BAD_SCAN = {"ScanError", "GeometryError", "PreparationError", "BidsError"}
LISTED_LABELS = 20
_EPILOG = """\
examples:
  anatomaly-bids raw raw/derivatives/anatomaly participant
  anatomaly-bids raw raw/derivatives/anatomaly participant --participant-label 01 02
  anatomaly-bids raw raw/derivatives/anatomaly group

exit status: 0 all succeeded, 1 something failed, 16 no BIDS data set, 17 unknown level,
18 the filters, or one label of them, select nothing, 64 wrong usage, 65 every failure is a bad
scan or a wrong name, 66 no input, 73 the output cannot be created, 74 it cannot be written.
Research software, not a medical device."""


class _Parser(argparse.ArgumentParser):
    """argparse, but wrong usage ends with the specification's 64 in the place of 2."""

    def error(self, message: str) -> NoReturn:
        """Print usage and leave."""
        self.print_usage(sys.stderr)
        if "arguments are required" in message:  # --participant-label 01 RAW OUT took all of them
            message += "; options that take several values go to the end"
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Many[str] | None = None) -> NoReturn:
    """Run the BIDS App and exit with its status."""
    with surroundings():
        sys.exit(run(arguments))


def run(arguments: Many[str] | None = None) -> int:
    """Run the BIDS App.

    Args:
        arguments: of the command line; None takes those of the process.

    Returns:
        The exit status.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = make_parser().parse_args(["--version"] if list(words) == ["-v"] else words)
    levels = {"participant": _participant_level, "group": _group_level}
    if options.analysis_level not in levels:
        _say(f"unknown analysis level {options.analysis_level}; choose participant or group")
        return UNKNOWN_LEVEL
    if not options.bids_dir.is_dir():
        _say(f"{options.bids_dir}: no such folder; check the path")
        return NO_INPUT
    if (
        options.n_cpus and options.jobs in (None, "1") and memory_of(options) is None
    ):  # before torch and niimath look at it
        os.environ["OMP_NUM_THREADS"] = str(options.n_cpus)
    from anatomaly.bids.dataset import Derivatives

    out = Derivatives(options.bids_dir.resolve(), options.output_dir.resolve())
    return levels[options.analysis_level](out, options)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="anatomaly-bids",
        description="Find what is abnormal in the T1w, T2w and FLAIR scans of a BIDS data set.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("bids_dir", type=Path, help="root of the BIDS data set; never written to")
    add("output_dir", type=Path, help="root of the derivatives")
    add("analysis_level", metavar="{participant,group}", help="scans, or tables of all results")
    add("--version", action="version", version=f"anatomaly {__version__}")
    chosen = parser.add_argument_group("which scans (all without these)")
    add = chosen.add_argument
    for name, words in {
        "participant": "these people; with or without sub-, several after a space",
        "session": "these sessions; with or without ses-",
    }.items():
        add(
            f"--{name}-label", f"--{name}_label", nargs="+", action="extend", default=[],
            metavar="LABEL", help=words,
        )  # fmt: skip
    add(
        "--sequence", nargs="+", choices=SEQUENCES, default=list(SEQUENCES),
        help="scans of these sequences",
    )  # fmt: skip
    how = parser.add_argument_group("how")
    add = how.add_argument
    add(
        "-w", "--work-dir", "--work_dir", type=Path, metavar="DIR",
        help="folder for files in between (default: TMPDIR); they are removed again",
    )  # fmt: skip
    add(
        "--skip-bids-validation", "--skip_bids_validation", "--skip-bids-validator",
        "--skip_bids_validator", action="store_true",
        help="taken as every BIDS App does; the validator is never run, names alone are read",
    )  # fmt: skip
    add("--redo", action="store_true", help="compute again what is finished")
    add_engine_options(how)
    add(
        "--device", choices=get_args(DeviceOption), default="auto",
        help="where the networks run (default: a GPU if there is one)",
    )  # fmt: skip
    add("--weights", default="default", help="bundled weights by name, or a folder")
    add("--atlas", type=Path, help="label image in MNI152 space that names regions")
    add(
        "--min-lesion-mm3", type=float, default=AnomalyConfig.min_lesion_mm3, metavar="MM3",
        help="drop pieces of the mask that are smaller (default: %(default)s)",
    )  # fmt: skip
    add("--force", action="store_true", help="go on where the checks would refuse a scan")
    add(
        "-v", "--verbose", action="count", default=0,
        help="say more while working; -v and nothing else is --version",
    )  # fmt: skip
    add("--quiet", action="store_true", help="only warnings and errors")
    return parser


def _say(text: str) -> None:
    print(f"anatomaly-bids: {writable(text)}", file=sys.stderr)


def _participant_level(out: Derivatives, options: argparse.Namespace) -> int:
    """Do every scan that is not finished, then every session; a bad one never stops the others."""
    try:
        engine_options(options)
        config = config_of(
            device=options.device,
            threads=options.n_cpus,
            weights=options.weights,
            atlas=options.atlas,
            force=options.force,
            min_lesion_mm3=options.min_lesion_mm3,
        )
        selection = select_sessions(out.source, options.participant_label, options.session_label)
        sessions = [
            session
            for session in selection.sessions
            if any(scan.sequence in options.sequence for scan in session.scans)
        ]
        for label in selection.unknown:
            _say(_no_such(label, selection))
        if not sessions and not any(left.refused for left in selection.left_out):
            return _nothing_selected(out.source, selection)
        check_writable(out.root)
        if options.work_dir:
            use_temporary(options.work_dir)
        out.prepare()
    except AnatomalyError as error:
        _say(str(error))
        codes = {ConfigError: USAGE, BidsError: INVALID_BIDS, OutputError: CANNOT_CREATE}
        return codes.get(type(error), FAILED)
    failures = _work_through(selection.left_out, sessions, out, config, options)
    status = FAILED if failures is None else _status(failures)
    return NOTHING_SELECTED if status == OK and selection.unknown else status


def _work_through(
    left_out: Many[LeftOut],
    sessions: Many[BidsSession],
    out: Derivatives,
    config: DetectConfig,
    options: argparse.Namespace,
) -> list[Failure] | None:
    """Tell what is left out, then do each session; None where nothing could be started."""
    from anatomaly.cli.bids_sessions import SessionWork
    from anatomaly.cli.session_task import SessionTask

    total = sum(len(session.scans) + 1 for session in sessions)
    refused = [left for left in left_out if left.refused]
    failures = [Failure(left.path, "BidsError", left.reason) for left in refused]
    with Display(total, quiet=options.quiet, verbose=bool(options.verbose)) as display:
        for line in left_out_lines(left_out, out.source):
            display.note(line, style="yellow")
        for failure in failures:
            display.line(f"{shown(failure.scan)}: FAILED: {failure.reason}", style="red")
        work = SessionWork(out, options.sequence, options.redo, display)
        detects = any(work.scans_to_do(session) for session in sessions)
        task = SessionTask(config, out.root, out.source, detects)
        try:
            if detects:
                make_ready(out.root, display)
            where = engine_options(options)
            with open_engine(task, where, total, display, memory_of(options)) as engine:
                failures += work.do(sessions, engine)
        except AnatomalyError as error:
            display.fail(error)
            return None
        show_failures(failures, total + len(refused))
        if work.doubtful:
            display.note(f"with warnings, see the top of their pages: {len(work.doubtful)} maps")
    return failures


def left_out_lines(left_out: Many[LeftOut], source: Path) -> list[str]:
    """Return a line for each reason: the first path that it holds for, and how many more."""
    paths: dict[str, list[str]] = {}
    for left in left_out:
        if not left.refused:
            paths.setdefault(left.reason, []).append(shown(left.path.relative_to(source)))
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: left out: {reason}"
        for reason, names in paths.items()
    ]


def _no_such(label: str, selection: Selection) -> str:
    """Say that a label matches nobody, and which there are."""
    there = selection.people if label.startswith("sub-") else selection.visits
    near = get_close_matches(label, there, n=3, cutoff=0.8)
    listed = ", ".join(there[:LISTED_LABELS]) + (", ..." if len(there) > LISTED_LABELS else "")
    return (
        f"{label}: no such label in the data set; "
        + (f"did you mean {' or '.join(near)}? " if near else "")
        + (f"there are {len(there)}: {listed}" if there else "it has none of this kind")
    )


def _nothing_selected(source: Path, selection: Selection) -> int:
    """Say whether the filters or the data set are to blame."""
    for line in left_out_lines(selection.left_out, source):
        _say(line)
    if not find_sessions(source):
        _say(f"{source}: no sub-*/[ses-*/]anat/ with a T1w, T2w or FLAIR scan")
        return NO_INPUT
    _say("no scan has these participants, sessions and sequences; check the labels")
    return NOTHING_SELECTED


def _status(failures: list[Failure]) -> int:
    """Return the exit status that fits the failures."""
    kinds = {failure.kind for failure in failures}
    if not kinds:
        return OK
    if kinds <= BAD_SCAN:
        return BAD_DATA
    return IO_ERROR if kinds == {"OutputError"} else FAILED


def _group_level(out: Derivatives, options: argparse.Namespace) -> int:
    """Write tables over all results, and the page."""
    from anatomaly.bids.group import write_group

    try:
        for path in write_group(out):
            if not options.quiet:
                print(shown(path))
    except (BidsError, OutputError) as error:
        _say(str(error))
        return NO_INPUT if isinstance(error, BidsError) else IO_ERROR
    return OK
