"""The options of `anatomaly detect`; each has the name of its field in `config.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from anatomaly.config import OUTPUTS, BrainExtractionMethod, DeviceOption
from anatomaly.types import Polarity, SequenceOption

INPUT, HOW, WHAT, RUN = "Input and output", "Preparation", "Detection", "Run"

Scans = Annotated[
    list[Path],
    typer.Argument(
        metavar="SCAN...",
        show_default=False,
        help="NIfTI files (.nii, .nii.gz, .mgz) or folders with one DICOM series each.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        show_default=False,
        rich_help_panel=INPUT,
        help="Folder for the results: OUT/X/ for a scan X.nii.gz. Where two scans share a name, "
        "their parent folders are put in front.",
    ),
]
SequenceChoice = Annotated[
    SequenceOption,
    typer.Option(
        rich_help_panel=INPUT,
        help="What the scans are; auto asks the file name, then the image.",
    ),
]
OutputList = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        rich_help_panel=INPUT,
        help=f"What to write, separated by commas: {', '.join(OUTPUTS)} (together: all), "
        "and dicom: segmentation, map and report for a PACS. run.json always is.",
    ),
]
SkipFinished = Annotated[
    bool,
    typer.Option(
        "--skip-finished/--overwrite",
        rich_help_panel=INPUT,
        help="Leave scans alone that have a result in OUT, or compute them again.",
    ),
]
BrainMask = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        show_default=False,
        rich_help_panel=HOW,
        help="Your own brain mask, in the space of the scan; for one scan.",
    ),
]
BrainExtraction = Annotated[
    BrainExtractionMethod,
    typer.Option(
        rich_help_panel=HOW,
        help="How the brain is found; auto keeps a stripped brain as it is.",
    ),
]
BiasField = Annotated[
    bool,
    typer.Option(
        "--bias-field/--no-bias-field",
        rich_help_panel=HOW,
        help="Correct the bias field (N4).",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        rich_help_panel=HOW,
        help="Go on with a warning where a quality check refuses the scan.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        show_default=False,
        rich_help_panel=WHAT,
        help="Score above which a voxel is abnormal, 0 to 1; default: the weights' own.",
    ),
]
PolarityChoice = Annotated[
    Polarity,
    typer.Option(
        rich_help_panel=WHAT,
        help="Which differences count; auto: darker in T1w, brighter in T2w and FLAIR.",
    ),
]
ScoreChoice = Annotated[
    Literal["auto", "hybrid", "residual", "structure", "normalised", "refined"],
    typer.Option(
        rich_help_panel=WHAT,
        help="The paper's score, either of its factors alone, the residual by what healthy people "
        "have there, a network trained on synthetic lesions, or what the weights were "
        "validated with.",
    ),
]
RouteChoice = Annotated[
    Literal["auto", "edges", "tissue_map", "both"],
    typer.Option(
        rich_help_panel=WHAT,
        help="Rebuild from edges (the method), the tissue map (its ablation), both, or by what the "
        "weights were validated with.",
    ),
]
ReuseChoice = Annotated[
    Literal["auto", "learned", "refined", "fitted"],
    typer.Option(
        rich_help_panel=WHAT,
        help="How the scan's contrast is put back: by the network (the method), by it and then a "
        "robust fit to the scan, by that fit alone, or by what the weights were validated with.",
    ),
]
MinLesion = Annotated[
    float,
    typer.Option(
        "--min-lesion-mm3",
        metavar="MM3",
        rich_help_panel=WHAT,
        help="Drop smaller lesions.",
    ),
]
AtlasFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        rich_help_panel=WHAT,
        help="Label image in MNI152 space that names regions; a name table may lie beside it.",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        rich_help_panel=WHAT,
        help="Bundled weights, or a folder of your own.",
    ),
]
Device = Annotated[DeviceOption, typer.Option(rich_help_panel=RUN, help="Where the networks run.")]
Threads = Annotated[
    int,
    typer.Option(
        min=0, rich_help_panel=RUN, help="CPU threads of the networks; 0: torch's choice."
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", rich_help_panel=RUN, help="Say more while working.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", rich_help_panel=RUN, help="Only warnings and errors.")
]
