"""Numbers of two parcellations become the same classes; foreign numbers are refused."""

import numpy as np
import pytest

from anatomaly.errors import TrainingError
from anatomaly.training.synthesis.label_maps import (
    CLASS_NAMES,
    RIM,
    TISSUE_OF_CLASS,
    class_lookup,
    to_classes,
)


@pytest.mark.parametrize(
    ("scheme", "number", "name"),
    [
        ("freesurfer", 2, "cerebral white matter"),
        ("freesurfer", 42, "cortex"),
        ("freesurfer", 43, "ventricular CSF"),
        ("freesurfer", 24, "sulcal CSF"),
        ("freesurfer", 16, "brainstem"),
        ("freesurfer", 53, "hippocampus and amygdala"),
        ("freesurfer", 47, "cerebellar cortex"),
        ("muse", 81, "cerebral white matter"),
        ("muse", 207, "cortex"),
        ("muse", 51, "ventricular CSF"),
        ("muse", 46, "sulcal CSF"),
        ("muse", 35, "brainstem"),
        ("muse", 47, "hippocampus and amygdala"),
        ("muse", 39, "cerebellar cortex"),
    ],
)
def test_structures_of_the_published_tables(scheme, number, name):
    assert CLASS_NAMES[class_lookup(scheme)[number]] == name


@pytest.mark.parametrize("scheme", ["freesurfer", "muse"])
def test_no_label_makes_a_rim_and_unknown_ones_are_background(scheme):
    table = class_lookup(scheme)
    assert table.shape == (1024,)
    assert RIM not in table
    assert table[0] == table[999] == 0
    assert set(range(1, 13)) <= set(table.tolist())


def test_tissue_of_each_class():
    expected = {"CSF": 1, "cortex": 2, "white matter": 3, "background": 0, "rim": 0, "vessels": 1}
    for name, tissue in zip(CLASS_NAMES, TISSUE_OF_CLASS, strict=True):
        for part, wanted in expected.items():
            if part in name:
                assert tissue == wanted, name
    assert TISSUE_OF_CLASS.max() == 3


def test_whole_map():
    labels = np.array([[[2, 3], [42, 0]], [[24, 999], [4, 41]]])
    assert to_classes(labels, "freesurfer").tolist() == [[[9, 3], [3, 0]], [[2, 0], [1, 9]]]


@pytest.mark.parametrize("labels", [[[[-1, 3]]], [[[3, 1024]]], [[[0, 999]]]])
def test_refuses_foreign_numbers(labels):
    with pytest.raises(TrainingError):
        to_classes(np.array(labels), "freesurfer")


def test_refuses_an_unknown_scheme():
    with pytest.raises(TrainingError, match="freesurfer or muse"):
        class_lookup("other")
