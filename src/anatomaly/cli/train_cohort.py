"""`anatomaly train cohort` and `anatomaly train finetune`: a user's own healthy people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from anatomaly.cli import train_options as o
from anatomaly.cli.option_groups import expand_groups
from anatomaly.types import SEQUENCES, MrSequence


@dataclass(frozen=True)
class PeopleOptions:
    """Who is trained on; named as the fields of `CohortConfig`."""

    lesions: o.OptionalLesions = None
    sequences: Annotated[
        list[str] | None,
        o.data(
            "--sequence",
            metavar="T1w|T2w|FLAIR",
            show_default=False,
            help="Use this sequence alone; may be repeated.",
        ),
    ] = None
    held_out_share: Annotated[
        float, o.data(min=0, max=0.9, help="Share of the people kept for validation.")
    ] = 0.1

    def settings(self) -> dict[str, Any]:
        """Return the fields of `CohortConfig`."""
        return asdict(self) | {"sequences": parse_sequences(self.sequences)}


@dataclass(frozen=True)
class FinetuneLoopOptions(o.ValidatedLoopOptions):
    """As of a whole training, but shorter between validations."""

    validate_every: o.ValidateEvery = 50
    patience: o.Patience = 5


@expand_groups
def cohort(
    bids: Annotated[
        Path,
        typer.Argument(
            metavar="BIDS_DIR",
            exists=True,
            file_okay=False,
            show_default=False,
            help="Healthy people: `sub-*/[ses-*/]anat/*_T1w.nii.gz`, `*_T2w.nii.gz`, "
            "`*_FLAIR.nii.gz`.",
        ),
    ],
    output: o.Run,
    people: PeopleOptions,
    course: o.CourseOptions,
    loop: o.ValidatedLoopOptions,
) -> None:
    """Train on your own healthy people, one sequence or several; goes on after a kill.

    - `anatomaly train cohort bids -o runs/own --lesions shapes`
    - `anatomaly train cohort bids -o runs/own --device cuda --devices 4 --batch 8`
    """
    from anatomaly.training.cohort_run import CohortConfig, train_cohort

    settings = people.settings() | course.settings()
    config = CohortConfig(output=output, bids=bids, loop=loop.config(), **settings)
    o.run_training(output, partial(train_cohort, config))


@expand_groups
def finetune(
    *,
    weights: Annotated[
        str, typer.Argument(help="To go on from: `default`, a bundled name, or a folder.")
    ],
    bids: Annotated[
        Path,
        o.data_folder(
            "--cohort",
            metavar="BIDS_DIR",
            help="Healthy people of the new sequence or scanner; a few are enough.",
        ),
    ],
    output: o.Run,
    people: PeopleOptions,
    recipe: o.Recipe = None,
    steps: Annotated[int | None, o.optional_course(min=1, help="Length.")] = None,
    seed: o.Seed = 0,
    loop: FinetuneLoopOptions,
) -> None:
    """Adapt modality extractor and combiner to your scanner; the anatomy networks stay frozen.

    - `anatomaly train finetune default --cohort bids -o runs/scanner`
    """
    from anatomaly.training.finetune import FinetuneConfig
    from anatomaly.training.finetune import finetune as adapt

    config = FinetuneConfig(
        output=output,
        weights=weights,
        bids=bids,
        recipe=recipe,
        steps={"finetune": steps} if steps else {},
        seed=seed,
        loop=loop.config(),
        **people.settings(),
    )
    o.run_training(output, partial(adapt, config))


def parse_sequences(words: list[str] | None) -> tuple[MrSequence, ...]:
    """Return the sequences that were named, all without any.

    >>> parse_sequences(["T2w", "T1w"])
    ('T1w', 'T2w')
    """
    if unknown := set(words or ()) - set(SEQUENCES):
        raise typer.BadParameter(f"--sequence {sorted(unknown)}: choose among {SEQUENCES}")
    return tuple(s for s in SEQUENCES if not words or s in words)
