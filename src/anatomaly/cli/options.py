"""The options of `anatomaly detect`; each has the name of its field in `config.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anatomaly.config import OUTPUTS, BrainExtractionMethod, DeviceOption
from anatomaly.types import (
    EdgeOption,
    Polarity,
    ReuseOption,
    RouteOption,
    ScoreOption,
    SequenceOption,
)

INPUT, HOW, WHAT, RUN = "Input and output", "Preparation", "Detection", "Run"

Scans = Annotated[
    list[Path],
    typer.Argument(
        metavar="SCAN",
        show_default=False,
        help="One or more NIfTI files (.nii, .nii.gz, .hdr with .img; also .mgz, .mgh), folders "
        "of DICOM, or one DICOM file for the series it is of.",
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
        help="What the scans are; `auto`: the image where it is sure, else the name (`_T1w` ...).",
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
        help="Your own brain mask, an image in the space of the scan, above 0 inside; one scan.",
    ),
]
BrainExtraction = Annotated[
    BrainExtractionMethod,
    typer.Option(
        rich_help_panel=HOW,
        help="How the brain is found. `deepbet`: by a network; `atlas`: from the template, "
        "coarser; `stripped`: the skull is gone already; `auto`: what is stripped stays as it is, "
        "else deepbet, else the template.",
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
        help="Score above which a voxel is abnormal, 0 to 1: lower finds more, wrong and right. "
        "Default: what the weights bring for the sequence (`anatomaly info`).",
    ),
]
PolarityChoice = Annotated[
    Polarity,
    typer.Option(
        rich_help_panel=WHAT,
        help="Which differences count. `auto`: darker in T1w, brighter in T2w and FLAIR. The "
        "refined score weighs both signs and takes `auto` only.",
    ),
]
ScoreChoice = Annotated[
    ScoreOption,
    typer.Option(
        rich_help_panel=WHAT,
        help="`refined`: a network trained on synthetic lesions; `hybrid`: the paper's score; "
        "`residual`, `structure`: one of its two factors; `normalised`: the residual by what "
        "healthy people have there; `auto`: what the weights were validated with.",
    ),
]
RouteChoice = Annotated[
    RouteOption,
    typer.Option(
        rich_help_panel=WHAT,
        help="What the brain is rebuilt from. `edges`: the method; `tissue_map`: its ablation; "
        "`both`; `auto`: what the weights were validated with.",
    ),
]
EdgeChoice = Annotated[
    EdgeOption,
    typer.Option(
        rich_help_panel=WHAT,
        help="Edges that the anatomy is restored from. `canny`: the paper's, on or off; "
        "`oriented`: they say which side is which tissue; `auto`: what the weights were validated "
        "with.",
    ),
]
ReuseChoice = Annotated[
    ReuseOption,
    typer.Option(
        rich_help_panel=WHAT,
        help="How the scan's contrast is put back. `learned`: by the network, the method; "
        "`fitted`: by a robust fit to the scan; `adjusted`: by both, in this order; `auto`: what "
        "the weights were validated with.",
    ),
]
GrowShare = Annotated[
    float | None,
    typer.Option(
        min=0.05,
        max=1.0,
        show_default="0.5 for the refined score, else 1",
        rich_help_panel=WHAT,
        help="A finding that passes the threshold grows over connected voxels down to this share "
        "of it.",
    ),
]
MinLesion = Annotated[
    float,
    typer.Option(
        "--min-lesion-mm3",
        metavar="MM3",
        rich_help_panel=WHAT,
        help="Drop pieces of the mask that are smaller.",
    ),
]
AtlasFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        rich_help_panel=WHAT,
        help="Label image in MNI152 space that names regions; the names from a .tsv, .csv, .txt "
        "or .lut of the same name beside it.",
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
Device = Annotated[
    DeviceOption,
    typer.Option(rich_help_panel=RUN, help="Where the networks run; `auto`: a GPU if any."),
]
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
