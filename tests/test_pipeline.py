"""The pipeline over a made-up preparation and network: all results lie on the scan's grid."""

import json
from dataclasses import replace
from functools import cache

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from anatomaly import detection, pipeline, score
from anatomaly.config import OUTPUTS, AnomalyConfig, DetectConfig
from anatomaly.errors import ConfigError, DicomError, OutputError, WeightsError
from anatomaly.geometry import TEMPLATE_SHAPE, apply_affine
from anatomaly.method import REFINED
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import Networks
from anatomaly.pipeline import Detector, detect
from anatomaly.preprocess.brain_extraction import BrainExtraction
from anatomaly.preprocess.chain import Prepared
from anatomaly.preprocess.normalise import normalise_intensity
from anatomaly.preprocess.quality import Fit
from anatomaly.preprocess.register import Registration
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.resample import empty_grid, resample_to_template
from anatomaly.preprocess.trace import Trace
from anatomaly.score import RebuiltScan
from anatomaly.training.export import export_weights
from anatomaly.volume import PreparedImage, Volume
from anatomaly.weights_card import WeightsCard

SHAPE = (73, 58, 61)
WORLD = np.array([[1.02, 0.05, 0, 3], [-0.04, 0.97, 0.08, -5], [0, -0.07, 1.04, 4], [0, 0, 0, 1.0]])
LESION_MM = np.array([22.0, -31.0, 12.0])
"""Where the lesion lies, scanner mm."""


def scan_volume():
    """An ellipsoid of even intensity with a bright ball; oblique, axes left-posterior-superior."""
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    affine = turn @ np.diag([-2.2, -3.1, 2.6, 1.0])
    middle = (np.array(SHAPE) - 1) / 2
    affine[:3, 3] = np.array([0, -17, 4]) - affine[:3, :3] @ middle
    away = np.stack(np.indices(SHAPE), axis=-1) - middle
    radius = np.linalg.norm(away * (2.2, 3.1, 2.6) / (58, 70, 55), axis=-1)
    places = apply_affine(affine, away + middle)
    data = np.where(radius < 1, 400 + 40 * np.sin(places[..., 0] / 9), 2.0)
    data[np.linalg.norm(places - LESION_MM, axis=-1) < 11] = 900
    return Volume(data.astype(np.float32), affine), Volume(radius < 1, affine)


@cache
def prepared_once():
    """Image, mask and trace with a known affine and a known mask: all but the searching."""
    volume, mask = scan_volume()
    turned, reorientation = reorient(volume)
    mask_ras, _ = reorient(mask)
    weight = resample_to_template(mask_ras.with_data(mask_ras.data.astype(np.float32)), WORLD)
    mask_template = weight.with_data(weight.data > 0.5)
    resampled = resample_to_template(turned, WORLD)
    image, normalisation = normalise_intensity(resampled, mask_template)
    trace = Trace(
        steps=(),
        scan_grid=empty_grid(volume.shape, volume.affine),
        reorientation=reorientation,
        bias_field=None,
        extraction=BrainExtraction("file", 1.0, False),
        brain_mask_ras=mask_ras,
        brain_mask_template=mask_template,
        registration=Registration(WORLD, Fit(1.0, 0.1, 0.0, 0.5, 2.0, 0.0, 1.0)),
        normalisation=normalisation,
        warnings=("doubt of the preparation",),
    )
    return image, mask_template, trace


def fake_prepare(scan, config, sequence):
    np.testing.assert_allclose(scan.volume.data, scan_volume()[0].data)
    image, mask, trace = prepared_once()
    told = "FLAIR" if sequence == "auto" else sequence
    return Prepared(PreparedImage(image.data, mask.data, told), trace)


def fake_rebuild(model, image, mask, methods):
    """A healthy brain: what is brighter than a half becomes a quarter."""
    y = torch.where(image > 0.5, 0.25, image) * mask
    tissue = torch.where(mask > 0, torch.where(image > 0.5, 1, 3), 0)[0, 0].to(torch.uint8).numpy()
    return {
        (m.route, m.reuse): RebuiltScan(
            image,
            y,
            tissue,
            np.zeros(TEMPLATE_SHAPE, bool),
            (y, 0.5 * y) if m.route == "both" else (y,),
        )
        for m in methods
    }


CARD = WeightsCard("fake", "2026-01-02", "ab" * 32, "p", {"T1w": 0.9, "FLAIR": 0.2})


def detector_of(card=CARD, scorer=None, healthy=None, **options):
    """A detector whose networks are handed in."""
    networks = Networks(PseudoHealthyModel(), card, scorer, healthy or {})
    return Detector(DetectConfig(device="cpu", **options), networks)


@pytest.fixture(name="faked", autouse=True, scope="module")
def fixture_faked():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "prepare", fake_prepare)
        patch.setattr(score, "rebuild", fake_rebuild)
        yield


@pytest.fixture(name="path", scope="module")
def fixture_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "sub-01_FLAIR.nii.gz"
    volume, _ = scan_volume()
    nib.save(nib.Nifti1Image(volume.data, volume.affine), path)
    return path


@pytest.fixture(name="found", scope="module")
def fixture_found(faked, path):
    return detector_of().detect(path)


QUICK = AnomalyConfig(smooth_sigma_mm=0)
VOLUMES = ("anomaly_map", "anomaly_mask", "pseudo_healthy", "tissue_map", "brain_mask")


@pytest.mark.parametrize("name", VOLUMES)
def test_everything_lies_on_the_grid_of_the_scan(found, name):
    volume = getattr(found, name)
    assert volume.shape == SHAPE
    np.testing.assert_allclose(volume.affine, scan_volume()[0].affine, atol=1e-5)
    assert volume.data.dtype == (np.float32 if name in VOLUMES[:3:2] else np.uint8)
    assert np.isfinite(volume.data).all()


def test_the_lesion_is_found_where_it_is(found):
    assert len(found.lesions) == 1
    lesion = found.lesions[0]
    np.testing.assert_allclose(lesion.centre_scanner_mm, LESION_MM, atol=1.0)
    expected = apply_affine(WORLD, LESION_MM)
    np.testing.assert_allclose(lesion.centre_mni_mm, expected, atol=1.0)
    assert lesion.polarity == "brighter"
    # two interpolations between voxels of 3 mm widen the ball
    assert 0.9 < lesion.volume_mm3 / (4 / 3 * np.pi * 11**3) < 1.5
    assert 0.2 < lesion.mean_score <= lesion.peak_score <= 1
    assert found.threshold == 0.2


def test_mask_and_map_agree(found):
    score, mask = found.anomaly_map.data, found.anomaly_mask.data
    assert score.min() >= 0 and score.max() <= 1
    assert (score[mask > 0] > 0.2).all()
    assert not score[found.brain_mask.data == 0].any()
    assert mask.sum() == round(found.lesions[0].volume_mm3 / found.anomaly_mask.voxel_volume_mm3)


def test_brain_mask_and_tissues_are_those_of_the_scan(found):
    volume, mask = scan_volume()
    np.testing.assert_array_equal(found.brain_mask.data, mask.data)
    inner = volume.data == 900
    assert (found.tissue_map.data[inner] == 1).mean() > 0.9
    assert set(np.unique(found.tissue_map.data)) == {0, 1, 3}


def test_pseudo_healthy_has_the_units_of_the_scan_and_no_lesion(found):
    volume, mask = scan_volume()
    phi = found.pseudo_healthy.data
    np.testing.assert_array_equal(phi[~mask.data], volume.data[~mask.data])
    lesion = np.linalg.norm(
        apply_affine(volume.affine, np.stack(np.indices(SHAPE), -1).astype(float)) - LESION_MM,
        axis=-1,
    )
    assert phi[lesion < 7].max() < 700
    healthy = mask.data & (lesion > 16)
    assert np.abs(phi - volume.data)[healthy].mean() < 15


def test_what_is_written_down(found, path):
    run = found.run
    assert list(found.seconds) == ["read", "prepare", "rebuild", "score", "return", "lesions"]
    assert run["seconds"] == found.seconds
    assert run["scan"]["name"] == "sub-01_FLAIR"
    assert run["weights"]["name"] == "fake" and run["sequence"] == "FLAIR"
    assert run["polarity"] == "brighter" and run["threshold"] == 0.2 and run["lesions"] == 1
    assert run["method"]["score"] == "hybrid" and run["method"]["gap_weight"] == 12.5
    assert run["config"]["anomaly"]["smooth_sigma_mm"] == 1.0
    assert "doubt of the preparation" in found.warnings
    assert "doubt of the preparation" in run["warnings"]


def test_what_healthy_brains_show_is_written_down_for_the_sequence(path):
    """And not where another least size makes another mask."""
    curves = {
        name: {"threshold": [0.1, 0.5], "half": [half, 0.0], "most": [9.0, 1.0]}
        for name, half in (("T1w", 2.0), ("FLAIR", 3.0))
    }
    card = replace(CARD, healthy_ml=curves)
    run = detector_of(card, anomaly=AnomalyConfig(threshold=0.3)).detect(path).run
    assert run["healthy_ml"] == {**curves["FLAIR"], "default": 0.2} and run["threshold"] == 0.3
    larger = detector_of(card, anomaly=AnomalyConfig(min_lesion_mm3=50.0))
    assert larger.detect(path).run["healthy_ml"] == {}


@pytest.mark.parametrize("way", ["text", "path", "image", "volume"])
def test_the_ways_to_name_a_scan(path, way):
    volume, _ = scan_volume()
    image = {"text": str(path), "path": path, "image": nib.load(path), "volume": volume}[way]
    scan = pipeline._read(image)
    np.testing.assert_allclose(scan.volume.data, volume.data)
    np.testing.assert_allclose(scan.volume.affine, volume.affine, atol=1e-5)


def test_options_reach_their_stage():
    volume, _ = scan_volume()
    dark = replace(QUICK, polarity="darker", threshold=0.05)
    darker = detector_of(anomaly=dark).detect(volume)
    assert darker.lesions == () and not darker.anomaly_mask.data.any()
    assert darker.threshold == 0.05 and darker.run["polarity"] == "darker"
    told = replace(QUICK, polarity="brighter", threshold=0.1, min_lesion_mm3=1e5)
    t1w = detector_of(sequence="T1w", anomaly=told).detect(volume)
    assert t1w.sequence == "T1w" and t1w.run["sequence"] == "T1w"
    assert t1w.anomaly_map.data.max() > 0.2
    assert t1w.lesions == () and not t1w.anomaly_mask.data.any()


def test_thresholds_of_the_weights_and_ones_own():
    detector = detector_of()
    assert detector.threshold_for("FLAIR") == 0.2 and detector.threshold_for("T1w") == 0.9
    with pytest.raises(WeightsError, match="no threshold for T2w"):
        detector.threshold_for("T2w")
    told = detector_of(anomaly=replace(QUICK, threshold=0.3))
    assert told.threshold_for("T2w") == told.threshold_for("FLAIR") == 0.3


def test_unknown_option():
    with pytest.raises(ConfigError, match="unknown option"):
        detect("scan.nii.gz", speed="fast")
    with pytest.raises(ConfigError, match="sequence must be"):
        detect("scan.nii.gz", sequence="PD")


FILES = {
    "anomaly_map": "anomaly_map.nii.gz",
    "anomaly_mask": "anomaly_mask.nii.gz",
    "pseudo_healthy": "pseudo_healthy.nii.gz",
    "tissue_map": "tissue_map.nii.gz",
    "brain_mask": "brain_mask.nii.gz",
    "lesions": "lesions.tsv",
    "labels": "lesions.nii.gz",
    "overview": "overview.png",
    "report": "report.html",
}


def names(folder):
    return {p.name for p in folder.iterdir()}


def test_save_writes_the_named_files_and_they_read_back(found, tmp_path):
    folder = found.save(tmp_path / "deep" / "site-a_sub-01_FLAIR")
    assert names(folder) == {*FILES.values(), "labels", "run.json"}
    assert "<h1>site-a_sub-01_FLAIR</h1>" in (folder / "report.html").read_text()
    assert set(FILES) == set(OUTPUTS)
    for name in VOLUMES:
        file = nib.load(folder / FILES[name])
        volume = getattr(found, name)
        np.testing.assert_allclose(np.asarray(file.dataobj), volume.data, rtol=1e-6)
        assert file.get_data_dtype() == volume.data.dtype
        np.testing.assert_allclose(file.affine, volume.affine, atol=1e-5)
    run = json.loads((folder / "run.json").read_text())
    assert run["scan"]["name"] == "sub-01_FLAIR"
    assert run["seconds"] == found.seconds
    assert len((folder / "lesions.tsv").read_text().splitlines()) == 2


def test_the_numbered_lesions_are_those_of_the_table(found, tmp_path):
    folder = found.save(tmp_path / "result", {"labels", "lesions"})
    image = sitk.ReadImage(folder / "lesions.nii.gz")
    assert image.GetPixelIDValue() == sitk.sitkUInt16
    numbered = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    np.testing.assert_array_equal(numbered > 0, found.anomaly_mask.data > 0)
    for lesion in found.lesions:
        voxels = (numbered == lesion.number).sum() * np.prod(image.GetSpacing())
        assert voxels == pytest.approx(lesion.volume_mm3, rel=1e-5)
    named = (folder / "labels" / "lesions_freesurfer.txt").read_text().splitlines()[2:]
    assert [line.split()[0] for line in named] == [str(x.number) for x in found.lesions]
    assert {path.name.split("_")[0] for path in (folder / "labels").iterdir()} == {
        "lesions", "tissue", "anomaly",
    }  # fmt: skip


def test_save_writes_what_is_asked_for(found, tmp_path):
    folder = found.save(tmp_path / "result", {"anomaly_mask", "lesions"})
    assert names(folder) == {"anomaly_mask.nii.gz", "lesions.tsv", "run.json"}
    assert names(found.save(tmp_path / "none", set())) == {"run.json"}


def test_dicom_results_of_a_nifti_file_are_refused_and_leave_nothing(found, tmp_path):
    with pytest.raises(DicomError, match="give the DICOM folder itself"):
        found.save(tmp_path / "result", {"lesions", "dicom"})
    assert names(tmp_path) == set()


def test_dicom_results_get_what_was_found(found, tmp_path, monkeypatch):
    def write(folder, *given):
        (folder / "lesions_seg.dcm").write_text("DICM")
        assert given == (
            found.scan,
            found.anomaly_map,
            found.anomaly_mask,
            found.lesions,
            found.run,
        )

    monkeypatch.setattr(detection, "write_dicom_results", write)
    folder = found.save(tmp_path / "result", {"dicom"})
    assert names(folder) == {"lesions_seg.dcm", "run.json"}
    assert names(found.save(folder, {"lesions"})) == {"lesions.tsv", "run.json"}  # not kept


def test_unknown_output(found, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown outputs \['heatmap'\]"):
        found.save(tmp_path / "result", {"heatmap"})
    assert names(tmp_path) == set()


def test_a_save_that_fails_leaves_nothing(found, tmp_path, monkeypatch):
    def fail(*_):
        raise OutputError("disk full")

    monkeypatch.setattr(detection, "write_manifest", fail)
    with pytest.raises(OutputError, match="disk full"):
        found.save(tmp_path / "deep" / "result", {"anomaly_mask"})
    assert names(tmp_path) == set()


def test_a_save_that_fails_keeps_the_older_result(found, tmp_path, monkeypatch):
    folder = found.save(tmp_path / "result", {"lesions"})

    def fail(*_):
        raise OutputError("disk full")

    monkeypatch.setattr(detection, "write_lesions_tsv", fail)
    with pytest.raises(OutputError):
        found.save(folder, {"anomaly_mask", "lesions"})
    assert names(tmp_path) == {"result"}
    assert names(folder) == {"lesions.tsv", "run.json"}


@pytest.mark.parametrize(("polarity", "share"), [("auto", 0.5), ("both", 0.25)])
def test_a_residual_is_weighed_by_that_of_healthy_people(path, polarity, share):
    """Healthy people have .02 more than expected and .04 less: a / (a + .02), a / (a + .06)."""
    healthy = {"FLAIR.brighter": 0.02, "FLAIR.darker": 0.04}
    shape = tuple(n // 4 for n in TEMPLATE_SHAPE)
    maps = {name: np.full(shape, value, np.float32) for name, value in healthy.items()}

    def found(name):
        anomaly = AnomalyConfig(score=name, polarity=polarity)
        return detector_of(healthy=maps, anomaly=anomaly).detect(path).anomaly_map.data

    np.testing.assert_allclose(found("normalised"), share * found("residual"), atol=1e-6)
    assert found("residual").max() > 0.1


def test_a_method_for_each_sequence():
    card = replace(CARD, methods={"T2w": {"route": "tissue_map", "score": "residual"}})
    methods = detector_of(card).methods
    assert (methods["T2w"].route, methods["T2w"].score) == ("tissue_map", "residual")
    assert (methods["FLAIR"].route, methods["FLAIR"].score) == ("edges", "hybrid")
    told = detector_of(card, reuse="fitted", anomaly=QUICK).methods["T2w"]
    assert (told.route, told.reuse, told.score) == ("tissue_map", "fitted", "residual")


def test_the_run_says_what_was_settled(found):
    """Not `auto`: the card's route, contrast and score."""
    config = found.run["config"]
    assert (config["route"], config["reuse"]) == ("edges", "learned")
    assert config["edges"] == "oriented" and config["anomaly"]["grow_share"] == 1.0
    assert config["anomaly"]["score"] == "hybrid"
    assert (config["anomaly"]["erosion_mm"], config["anomaly"]["smooth_sigma_mm"]) == (3.0, 1.0)


class FakeScorer(torch.nn.Module):
    """Certain of a lesion where the scan is above what the edges expect, of none elsewhere."""

    def forward(self, evidence, context, sequence):
        self.sequence, self.context = sequence.tolist(), context.shape
        return torch.where(evidence[:, 2:3] > 0.1, 20.0, -20.0)


REFINED_CARD = replace(CARD, methods={"FLAIR": REFINED.to_json()}, scorer_sha256="cd" * 32)


def test_each_sequence_is_scored_as_its_card_says():
    methods = detector_of(REFINED_CARD, FakeScorer()).methods
    assert methods["FLAIR"] == REFINED
    assert methods["T2w"].score == "hybrid"
    told = {"anomaly": AnomalyConfig(score="hybrid"), "route": "tissue_map"}
    other = detector_of(REFINED_CARD, **told).methods["FLAIR"]  # which needs no scorer
    assert (other.route, other.score) == ("tissue_map", "hybrid")


def test_options_that_exclude_one_another_are_refused_before_a_scan_is_read():
    with pytest.raises(ConfigError, match="reads route and reuse both and fitted, got edges"):
        detector_of(REFINED_CARD, FakeScorer(), route="edges")
    with pytest.raises(ConfigError, match="no effect on the refined score"):
        anomaly = AnomalyConfig(score="refined", polarity="both")
        detector_of(REFINED_CARD, FakeScorer(), anomaly=anomaly)


def test_weights_without_a_refined_score(tmp_path):
    folder = export_weights(PseudoHealthyModel(), tmp_path / "fake", CARD.thresholds)
    asked = DetectConfig(device="cpu", weights=str(folder), anomaly=AnomalyConfig(score="refined"))
    with pytest.raises(WeightsError, match="fake: brings no refined score"):
        Detector(asked)


def test_networks_of_other_edges_than_asked_for_are_refused():
    with pytest.raises(ConfigError, match="restore from oriented edges, not from canny"):
        detector_of(edges="canny")


def test_networks_that_lack_what_a_sequence_needs_are_refused_before_a_scan_is_read():
    with pytest.raises(WeightsError, match="refined score is not loaded"):
        detector_of(REFINED_CARD)


def test_the_refined_map_is_what_the_scorer_says(path):
    """The ball of the scan, whole and without a rim, with the smoothing of this score."""
    scorer = FakeScorer()
    found = detector_of(REFINED_CARD, scorer).detect(path)
    assert scorer.sequence == [2] and scorer.context == (1, 6, 80, 96, 80)
    volume, mask = scan_volume()
    score = found.anomaly_map.data
    places = apply_affine(volume.affine, np.stack(np.indices(SHAPE), -1).astype(float))
    away = np.linalg.norm(places - LESION_MM, axis=-1)
    assert score[away < 7].min() > 0.95  # 4 mm inside: a voxel of 3 mm and the smoothing
    assert score[(away > 16) & mask.data].max() < 0.05
    assert score.max() <= 1 and len(found.lesions) == 1
    assert found.run["weights"]["scorer_sha256"] == "cd" * 32
    config = found.run["config"]
    assert (config["route"], config["reuse"]) == ("both", "fitted")
    assert config["anomaly"]["score"] == "refined"
    assert (config["anomaly"]["erosion_mm"], config["anomaly"]["smooth_sigma_mm"]) == (0.0, 0.5)
