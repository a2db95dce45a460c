"""The options of `anatomaly detect`; those of `config.py` have type and default of their field."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from anatomaly.config import OUTPUTS, AnomalyConfig, DetectConfig, PreprocessConfig
from anatomaly.errors import ConfigError
from anatomaly.names import writable

INPUT, HOW, WHAT, RUN = "Input and output", "Preparation", "Detection", "Run"
PARTS = {"preprocess": PreprocessConfig, "anomaly": AnomalyConfig}
"""Fields of `DetectConfig` that hold further fields."""


def _option(panel: str, help: str, *names: str, **more: Any) -> Any:
    """Declare an option that is listed in a panel of the help."""
    return typer.Option(*names, rich_help_panel=panel, help=help, **more)


CONFIG_OPTIONS: dict[str, Any] = {
    "sequence": _option(
        INPUT, "What the scans are; `auto`: the image where it is sure, else the name (`_T1w` ...)."
    ),
    "brain_mask": _option(
        HOW,
        "Your own brain mask, an image in the space of the scan, above 0 inside; one scan.",
        metavar="FILE",
        exists=True,
        dir_okay=False,
    ),
    "brain_extraction": _option(
        HOW,
        "How the brain is found. `deepbet`: by a network; `atlas`: from the template, "
        "coarser; `stripped`: the skull is gone already; `auto`: what is stripped stays as it is, "
        "else deepbet, else the template.",
    ),
    "bias_field": _option(HOW, "Correct the bias field (N4).", "--bias-field/--no-bias-field"),
    "force": _option(
        HOW, "Go on with a warning where a quality check refuses the scan.", "--force"
    ),
    "threshold": _option(
        WHAT,
        "Score above which a voxel is abnormal, 0 to 1: lower finds more, wrong and right. "
        "Default: what the weights bring for the sequence (`anatomaly info`).",
        metavar="SCORE",
    ),
    "polarity": _option(
        WHAT,
        "Which differences count. `auto`: as the weights were validated, usually darker in T1w, "
        "brighter in T2w and FLAIR. The refined score weighs both signs and takes `auto` only.",
    ),
    "grow_share": _option(
        WHAT,
        "A finding that passes the threshold grows over connected voxels down to this share of it.",
        min=0.05,
        max=1.0,
        show_default="0.5 for the refined score, else 1",
    ),
    "min_lesion_mm3": _option(WHAT, "Drop pieces of the mask that are smaller.", metavar="MM3"),
    "score": _option(
        WHAT,
        "`refined`: a network trained on synthetic lesions; `hybrid`: the paper's score; "
        "`residual`, `structure`: one of its two factors; `normalised`: the residual by what "
        "healthy people have there; `auto`: what the weights were validated with.",
    ),
    "route": _option(
        WHAT,
        "What the brain is rebuilt from. `edges`: the method; `tissue_map`: its ablation; "
        "`both`; `auto`: what the weights were validated with.",
    ),
    "edges": _option(
        WHAT,
        "Edges that the anatomy is restored from. `canny`: the paper's, on or off; "
        "`oriented`: they say which side is which tissue; `auto`: what the weights were validated "
        "with.",
    ),
    "reuse": _option(
        WHAT,
        "How the scan's contrast is put back. `learned`: by the network, the method; "
        "`fitted`: by a robust fit to the scan; `adjusted`: by both, in this order; `auto`: what "
        "the weights were validated with.",
    ),
    "atlas": _option(
        WHAT,
        "Label image in MNI152 space that names regions; the names from a .tsv, .csv, .txt "
        "or .lut of the same name beside it.",
        metavar="FILE",
    ),
    "weights": _option(WHAT, "Bundled weights, or a folder of your own.", metavar="NAME"),
    "device": _option(RUN, "Where the networks run; `auto`: a GPU if any."),
    "threads": _option(
        RUN,
        "CPU threads of the networks, with --jobs of all processes together; 0: all there are.",
        min=0,
    ),
}
"""By the names of fields of the configuration, in the order of the help."""

Scans = Annotated[
    list[Path],
    typer.Argument(
        metavar="SCAN",
        help="One or more NIfTI files (.nii, .nii.gz, .hdr with .img; also .mgz, .mgh), folders "
        "of DICOM, or one DICOM file for the series it is of.",
    ),
]
Output = Annotated[
    Path,
    _option(
        INPUT,
        "Folder for the results: OUT/X/ for a scan X.nii.gz. Where two scans share a name, "
        "their parent folders are put in front.",
        "--output",
        "-o",
        metavar="OUT",
    ),
]
OutputList = Annotated[
    str,
    _option(
        INPUT,
        f"What to write, separated by commas: {', '.join(OUTPUTS)} (together: all), "
        "and dicom: segmentation, map and report for a PACS. run.json always is.",
        metavar="LIST",
    ),
]
SkipFinished = Annotated[
    bool,
    _option(
        INPUT,
        "Leave scans alone that have a result in OUT, or compute them again.",
        "--skip-finished/--overwrite",
    ),
]
Verbose = Annotated[bool, _option(RUN, "Say more while working.", "--verbose", "-v")]
Quiet = Annotated[bool, _option(RUN, "Only warnings and errors.", "--quiet", "-q")]


def expand_config(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take `config: DetectConfig` where its user sees an option for each field.

    Args:
        names: of `CONFIG_OPTIONS`, in the order of the help; other fields keep their default.
    """
    kinds = (DetectConfig, *PARTS.values())
    types = {name: kind for each in kinds for name, kind in get_type_hints(each).items()}
    defaults = {field.name: field.default for kind in kinds for field in fields(kind)}
    options = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=defaults[name],
            annotation=Annotated[types[name], CONFIG_OPTIONS[name]],
        )
        for name in names
    ]

    def expand(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def expanded(**values: Any) -> None:
            told = {name: values.pop(name) for name in names}
            try:
                config = config_of(**told)
            except ConfigError as error:
                raise typer.BadParameter(writable(str(error))) from error
            command(config=config, **values)

        signature = inspect.signature(command, eval_str=True)
        parameters: list[Parameter] = []
        for parameter in signature.parameters.values():
            own = [parameter.replace(kind=Parameter.KEYWORD_ONLY)]
            parameters += options if parameter.name == "config" else own
        expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return expanded

    return expand


def config_of(**values: Any) -> DetectConfig:
    """Return the configuration with these fields, those of its parts included.

    >>> config_of(route="edges", threshold=0.3).anomaly.threshold
    0.3

    Raises:
        ConfigError: a value is out of its range.
    """
    for part, kind in PARTS.items():
        names = [field.name for field in fields(kind) if field.name in values]
        values[part] = kind(**{name: values.pop(name) for name in names})
    return DetectConfig(**values)
