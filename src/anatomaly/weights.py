"""Weights: where they lie, and the networks in them, after hash and preparation were checked.

A file whose hash, or whose preparation, is another one than that of its card is refused. Nothing
here imports torch before tensors are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from anatomaly.errors import WeightsError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, TEMPLATE_SPACE
from anatomaly.types import EDGE_KINDS, EdgeOption, MrSequence, ResidualPolarity, Sign
from anatomaly.weights_card import CARD_FILE, WeightsCard, read_card
from anatomaly.whole_file import whole_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from anatomaly.model.lesion_scorer import LesionScorer
    from anatomaly.model.pseudo_healthy import PseudoHealthyModel

DEFAULT_WEIGHTS = "synthetic-8"
"""What `default` stands for."""

TENSOR_FILE = "model.safetensors"
HEALTHY_FILE = "healthy_residual.safetensors"
"""Beside it, if the weights were calibrated: `healthy_key` to what healthy people score."""
SCORER_FILE = "lesion_scorer.safetensors"
"""Beside it, if a refined score was trained: the network of `model.lesion_scorer`."""


def preparation_hash() -> str:
    """Return 12 hex digits that change when the prepared image changes its meaning.

    Covers the working grid, the template space, the intensity scale, and by its version all else.
    """
    from anatomaly.preprocess.normalise import (
        HIGH_PERCENTILE,
        HIGH_VALUE,
        LOW_PERCENTILE,
        PREPARATION_VERSION,
    )

    contract = {
        "version": PREPARATION_VERSION,
        "shape": TEMPLATE_SHAPE,
        "affine": TEMPLATE_AFFINE.tolist(),
        "space": TEMPLATE_SPACE,
        "percentiles": [LOW_PERCENTILE, HIGH_PERCENTILE],
        "high_value": HIGH_VALUE,
    }
    return hashlib.sha256(json.dumps(contract, sort_keys=True).encode()).hexdigest()[:12]


def bundled_folder() -> Path:
    """Return the folder of the weights that ship with the package."""
    return Path(str(files("anatomaly") / "bundled_weights"))


def find_weights(name_or_folder: str) -> Path:
    """Return the folder of a set of weights: `default`, a bundled name, or a folder of your own.

    Raises:
        WeightsError: there is no such set.
    """
    name = DEFAULT_WEIGHTS if name_or_folder == "default" else name_or_folder
    for folder in (bundled_folder() / name, Path(name_or_folder).expanduser()):
        if (folder / CARD_FILE).is_file():
            return folder
    known = ", ".join(card.name for card in list_weights()) or "none"
    raise WeightsError(
        f"no weights called {name_or_folder!r}: bundled are {known}; a folder of your own needs "
        f"{TENSOR_FILE} and {CARD_FILE}"
    )


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a file of tensors (float16 safetensors), whole or not at all.

    A kill before the card is written too leaves a file that the hash of the card refuses.

    Args:
        path: `TENSOR_FILE`, `HEALTHY_FILE` or `SCORER_FILE` in the folder of the weights.
        tensors: by name, of any shape and type of float.

    Returns:
        SHA-256 of the file, for the card.
    """
    from safetensors.torch import save_file

    with whole_file(path) as temporary:
        save_file({k: v.detach().half().contiguous() for k, v in tensors.items()}, temporary)
        return _sha256(temporary)


def list_weights() -> list[WeightsCard]:
    """Return the cards of the bundled weights, by name."""
    folder = bundled_folder()
    if not folder.is_dir():
        return []
    return [read_card(f) for f in sorted(folder.iterdir()) if (f / CARD_FILE).is_file()]


def load_weights(name_or_folder: str) -> tuple[dict[str, Tensor], WeightsCard]:
    """Load tensors (float32) after checking hash and preparation.

    Raises:
        WeightsError: missing, damaged, or made for another preparation.
    """
    folder = find_weights(name_or_folder)
    card = read_card(folder)
    tensors = _load_tensors(folder, TENSOR_FILE, card.sha256)
    if card.preparation != preparation_hash():
        raise WeightsError(
            f"{card.name}: made for preparation {card.preparation}, this version prepares as "
            f"{preparation_hash()}: use the version of anatomaly that the weights came with"
        )
    return tensors, card


SIGNS: tuple[Sign, ...] = ("brighter", "darker")
"""Kinds of maps in `healthy_residual.safetensors`."""


def load_model(
    name_or_folder: str, edges: EdgeOption = "auto"
) -> tuple[PseudoHealthyModel, WeightsCard]:
    """Load weights into a model in evaluation mode.

    Args:
        name_or_folder: as in `find_weights`.
        edges: kind that the anatomy is restored from; `auto` is `oriented` where the weights have
            a restorer for it.

    Raises:
        WeightsError: as in `load_weights`, the weights belong to another model, or they bring no
            restorer for this kind of edges.
    """
    from anatomaly.model.pseudo_healthy import PseudoHealthyModel
    from anatomaly.model.unet import lay_channels_last

    state, card = load_weights(name_or_folder)
    kinds = [k for k in EDGE_KINDS if any(n.startswith(f"anatomy_restorers.{k}.") for n in state)]
    if edges != "auto" and kinds and edges not in kinds:
        raise WeightsError(f"{card.name}: restores from {kinds[0]} edges only, not from {edges}")
    model = PseudoHealthyModel(kinds or EDGE_KINDS)
    if edges != "auto":
        model.use_edges(edges)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{card.name}: weights of another model: {error}") from error
    lay_channels_last(model)
    return model.eval(), card


def load_scorer(card: WeightsCard, name_or_folder: str) -> LesionScorer:
    """Load the network of the refined score in evaluation mode.

    Args:
        card: of these weights.
        name_or_folder: as in `find_weights`.

    Raises:
        WeightsError: the weights bring none, or the file is missing, damaged or of another network.
    """
    from anatomaly.model.lesion_scorer import LesionScorer
    from anatomaly.model.unet import lay_channels_last

    if not card.scorer_sha256:
        raise WeightsError(
            f"{card.name}: brings no refined score; use another --score, or train one with "
            "`anatomaly train scorer`"
        )
    state = _load_tensors(find_weights(name_or_folder), SCORER_FILE, card.scorer_sha256)
    scorer = LesionScorer()
    try:
        scorer.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{card.name}: scorer of another network: {error}") from error
    lay_channels_last(scorer)
    return scorer.eval()


def healthy_key(sequence: MrSequence, sign: Sign) -> str:
    """Name of a map in `healthy_residual.safetensors`."""
    return f"{sequence}.{sign}"


def load_healthy_residual(card: WeightsCard, name_or_folder: str) -> dict[str, NDArray[np.float32]]:
    """Load what healthy people score at each place, by `healthy_key`.

    Args:
        card: of these weights.
        name_or_folder: as in `find_weights`.

    Raises:
        WeightsError: the weights were never calibrated, or the file is missing or damaged.
    """
    if not card.healthy_sha256:
        raise WeightsError(
            f"{card.name}: not calibrated, so it has no normalised score; use --score residual, "
            "or `anatomaly train calibrate`"
        )
    tensors = _load_tensors(find_weights(name_or_folder), HEALTHY_FILE, card.healthy_sha256)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def healthy_residual_of(
    maps: Mapping[str, NDArray[np.float32]], sequence: MrSequence, polarity: ResidualPolarity
) -> NDArray[np.float32]:
    """Return what healthy people score at each place with a polarity; `both` is the sum.

    Args:
        maps: of `load_healthy_residual`.
        sequence: of the scan.
        polarity: of the score.
    """
    first, *others = SIGNS if polarity == "both" else (polarity,)
    total = maps[healthy_key(sequence, first)]
    for sign in others:
        total = total + maps[healthy_key(sequence, sign)]
    return total


def _load_tensors(folder: Path, name: str, sha256: str) -> dict[str, Tensor]:
    """Read a safetensors file of weights as float32 after checking its hash."""
    path = folder / name
    try:
        digest = _sha256(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error
    if digest != sha256:
        raise WeightsError(
            f"{path}: SHA-256 {digest[:12]}… is not the card's {sha256[:12]}…: the file is "
            "damaged or was replaced; install the package again"
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    return {name: tensor.float() for name, tensor in tensors.items()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
