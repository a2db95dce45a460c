"""Names, labels, sidecars and order of what is written of one scan."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from anatomaly.bids.derivatives import LESION_LABEL, is_finished, standard_tissues, write_scan
from anatomaly.errors import OutputError
from anatomaly.report.index import read_rows
from anatomaly.scan.read import read_scan

STEM = "sub-01_ses-a_acq-3D"
TEMPLATE = f"{STEM}_space-MNI152NLin2009aSym_label-L_desc-T1w_probseg"
NAMES = [
    f"{STEM}_desc-brainT1w_mask",
    f"{STEM}_desc-pseudohealthy_T1w",
    f"{STEM}_label-L_desc-T1w_mask",
    f"{STEM}_label-L_desc-T1w_probseg",
    f"{STEM}_seg-lesions_desc-T1w_dseg",
    f"{STEM}_seg-tissues_desc-T1w_dseg",
]


@pytest.fixture(name="detection")
def fixture_detection(fakes, session):
    return fakes.make_detection(read_scan(session.scans[0].path))


@pytest.fixture(name="anat")
def fixture_anat(detection, session, out):
    write_scan(detection, session.scans[0], session, out)
    return out.anat(session)


def test_names_and_grids(anat, detection):
    laid = nib.load(anat / f"{TEMPLATE}.nii.gz")
    np.testing.assert_array_equal(laid.dataobj, detection.steps.anomaly_map)
    assert laid.header["sform_code"] == 4  # MNI152
    images = sorted(path for path in anat.glob("*.nii.gz") if "_space-" not in path.name)
    assert [path.name.removesuffix(".nii.gz") for path in images] == NAMES
    for path in images:
        np.testing.assert_array_equal(nib.load(path).affine, detection.scan.volume.affine)


def test_pieces_are_numbered_as_in_the_table(anat, detection):
    pieces = np.asarray(nib.load(anat / f"{NAMES[4]}.nii.gz").dataobj)
    with (anat / f"{NAMES[4]}.tsv").open(newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert (row["index"], row["mapping"]) == ("1", str(LESION_LABEL))
    assert (row["region"], row["juxtacortical"]) == ("corpus callosum and fornix", "n/a")
    volume_mm3 = np.count_nonzero(pieces == 1) * detection.scan.volume.voxel_volume_mm3
    assert float(row["volume_mm3"]) == pytest.approx(volume_mm3, abs=0.05)


def test_tissues_carry_the_labels_of_the_standard(detection):
    """Grey matter is 1 there and 2 here; the lesion is 7."""
    tissues = standard_tissues(detection.tissue_map, detection.anomaly_mask).data
    ball = detection.anomaly_mask.data > 0
    assert set(np.unique(tissues[ball])) == {7}
    assert set(np.unique(tissues[~ball])) == {0, 1}
    np.testing.assert_array_equal(tissues > 0, detection.brain_mask.data > 0)


def test_tables_of_viewers_say_what_those_of_the_standard_say(anat, session, out):
    """One in figures/, for 3D Slicer, the other beside the volume."""
    labels = out.figures(session, session.scans[0].name) / "labels"
    for kind in ("lesions", "tissues"):
        standard = read_rows(next(anat.glob(f"*_seg-{kind}_desc-T1w_dseg.tsv")))
        lines = (labels / f"seg-{kind}_dseg_slicer.ctbl").read_text().splitlines()
        slicer = {int(words[0]): words[1:] for words in map(str.split, lines) if words[0] != "#"}
        assert {int(row["index"]) for row in standard} | {0} == set(slicer)
        for row in standard:
            name, *rgba = slicer[int(row["index"])]
            assert name == row["name"].replace(" ", "_")
            assert "#" + "".join(f"{int(part):02x}" for part in rgba[:3]) == row["color"]


def test_sidecars(anat, session, out):
    said = {name: json.loads((anat / f"{name}.json").read_text()) for name in NAMES}
    raw = out.uri(session.scans[0].path)
    assert said[NAMES[3]]["Sources"] == [raw]
    assert said[NAMES[3]]["Threshold"] == 0.4
    assert said[NAMES[2]]["Sources"] == [out.uri(anat / f"{NAMES[3]}.nii.gz")]
    assert (said[NAMES[0]]["Type"], said[NAMES[2]]["Type"]) == ("Brain", "Lesion")
    assert said[NAMES[1]]["SkullStripped"] is False
    assert {sidecar["SpatialReference"] for sidecar in said.values()} == {raw}


def test_finished_is_said_last(anat, detection, session, out, monkeypatch):
    """A run that dies while it computes again leaves the scan unfinished."""
    marker = out.own_volume(session, session.scans[0], "anomaly_map")
    assert is_finished(marker)

    def dies(*_):
        raise OutputError("disk full")

    monkeypatch.setattr(detection, "save", dies)
    with pytest.raises(OutputError):
        write_scan(detection, session.scans[0], session, out)
    assert not is_finished(marker)
