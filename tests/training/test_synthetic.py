"""The recipe: what it refuses, shares of tissue, and one run from label maps to weights."""

import nibabel as nib
import numpy as np
import pytest
import torch

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.export import export_weights, join_stages
from anatomaly.training.loop import LoopConfig
from anatomaly.training.recipe import STAGES
from anatomaly.training.synthetic import SyntheticConfig, train_synthetic
from anatomaly.weights import load_weights


def config(tmp_path, **options):
    settings = {"label_maps": None, "cohort": None, "lesions": tmp_path / "lesions"}
    return SyntheticConfig(output=tmp_path / "run", **(settings | options))


@pytest.mark.parametrize("wrong", [{"steps": {"anatomi": 3}}, {"only": ("restore",)}])
def test_unknown_stages(tmp_path, wrong):
    with pytest.raises(TrainingError, match="unknown stages"):
        train_synthetic(config(tmp_path, **wrong))


@pytest.mark.parametrize("patch", [(80, 80, 72), (96, 32, 96)])
def test_patches_that_cannot_be_trained(tmp_path, patch):
    with pytest.raises(TrainingError, match="multiples of 16, 48 or more"):
        train_synthetic(config(tmp_path, patch=patch))


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(TrainingError, match="nothing to train on"):
        train_synthetic(config(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"empty: no \*.nii.gz"):
        train_synthetic(config(tmp_path, label_maps=tmp_path / "empty"))


def test_only_bad_label_maps(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "bad.nii.gz").write_text("no image")
    said = []
    with pytest.raises(TrainingError, match="no prepared person"):
        train_synthetic(config(tmp_path, label_maps=tmp_path / "maps"), said.append)
    assert len(said) == 1 and said[0].startswith("bad: skipped")


def write_label_maps(folder):
    """Two whole heads in FreeSurfer numbers at 2 mm, from nilearn's tissue priors."""
    from anatomaly.preprocess.template import load_template

    template = load_template()
    grey, white = template.grey_matter.data, template.white_matter.data
    labels = np.where(template.brain_mask.data, 24, 0)
    labels[(grey > 0.35) & template.brain_mask.data] = 3
    labels[(white > 0.5) & template.brain_mask.data] = 2
    inner = np.zeros(TEMPLATE_SHAPE, bool)
    inner[55:105, 60:150, 60:110] = True
    labels[(labels == 24) & inner] = 4
    folder.mkdir()
    for number, scale in enumerate((1.0, 1.04)):
        affine = template.brain.affine @ np.diag([2 * scale, 2 * scale, 2 * scale, 1])
        affine[:3, 3] += (4.0 * number, -3.0 * number, 5.0 * number)
        data = labels[::2, ::2, ::2].astype(np.int16)
        nib.save(nib.Nifti1Image(data, affine), folder / f"head{number}.nii.gz")
    return folder


def write_lesions(folder):
    from anatomaly.geometry import TEMPLATE_AFFINE

    for kind in ("stroke", "ms"):
        (folder / kind).mkdir(parents=True)
        data = np.zeros(TEMPLATE_SHAPE, np.uint8)
        data[60:70, 90:100, 85:92] = 1
        nib.save(nib.Nifti1Image(data, TEMPLATE_AFFINE), folder / kind / "a.nii.gz")
    return folder


@pytest.mark.slow
def test_from_label_maps_to_weights(tmp_path):
    options = {
        "label_maps": write_label_maps(tmp_path / "maps"),
        "lesions": write_lesions(tmp_path / "lesions"),
        "patch": (48, 48, 48),
        "loop": LoopConfig(steps=0, workers=0, checkpoint_seconds=1e6),
    }
    names = [plan.name for plan in STAGES]
    said, reported = [], []
    first = config(tmp_path, steps=dict.fromkeys(names, 10), **options)
    train_synthetic(first, said.append, lambda name, progress: reported.append((name, progress)))
    assert said[:3] == ["head0: prepared", "head1: prepared", "6 anatomies, 2 lesion shapes"]
    assert [name for name, _ in reported] == names
    assert all(np.isfinite(list(p.losses.values())).all() for _, p in reported)

    model, steps = join_stages(tmp_path / "run")
    assert steps == dict.fromkeys(names, 10)
    share = model.context.tissue_share[0]
    middle = share[:, 10:30, 14:36, 14:28].mean((1, 2, 3))
    assert (middle > 0.02).all() and middle.sum() < 1.01

    # more steps go on from the checkpoint; what is done is skipped and nothing is prepared again
    said.clear()
    reported.clear()
    more = config(tmp_path, steps=dict.fromkeys(names, 10) | {"anatomy": 20}, **options)
    train_synthetic(
        more, said.append, lambda name, progress: reported.append((name, progress.step))
    )
    assert reported == [("anatomy", 20)]
    assert not any("prepared" in line for line in said)

    thresholds = dict.fromkeys(("T1w", "T2w", "FLAIR"), 0.1)
    folder = export_weights(join_stages(tmp_path / "run")[0], tmp_path / "weights", thresholds)
    tensors, _ = load_weights(str(folder))
    PseudoHealthyModel().load_state_dict(tensors)
    assert all(torch.isfinite(t).all() for t in tensors.values())
