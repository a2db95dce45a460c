"""`anatomaly detect`: exit status, failures, names, what is left behind."""

import json
import os
import sys

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from anatomaly.cli import run_scans
from anatomaly.cli.detect import parse_outputs
from anatomaly.config import OUTPUTS
from anatomaly.errors import ConfigError, OutputError


def test_good_scan(run, fake, tmp_path):
    result = run("detect", "a/sub-01_T1w.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "sub-01_T1w" / "run.json").read_text() == "None"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["sub-01_T1w"]
    assert "T1w, 2 lesions, 1.8 mL" in result.stderr


def test_bad_scans_among_good_ones(run, fake, tmp_path):
    scans = ["one.nii.gz", "broken.nii.gz", "bug.nii.gz", "hungry.nii.gz", "two.nii.gz"]
    result = run("detect", *scans, "-o", tmp_path)
    assert result.exit_code == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "failures.log",
        "failures.tsv",
        "group_lesions.tsv",
        "group_volumes.tsv",
        "index.html",
        "one",
        "two",
    ]
    rows = [row.split("\t") for row in (tmp_path / "failures.tsv").read_text().splitlines()]
    assert rows[0] == ["scan", "error", "reason"]
    assert [row[:2] for row in rows[1:]] == [
        ["broken.nii.gz", "ScanError"],
        ["bug.nii.gz", "ZeroDivisionError"],
        ["hungry.nii.gz", "MemoryError"],
    ]
    assert rows[1][2] == "broken.nii.gz: no [such] scan; check the path"
    log = (tmp_path / "failures.log").read_text()
    assert "Traceback" in log
    assert "ZeroDivisionError: division by zero" in log
    assert "ScanError" not in log  # a bad scan is no defect of ours: no trace
    assert "3 of 5 scans failed" in result.stderr
    assert "no [such] scan; check the path" in result.stderr  # brackets are no markup
    assert "Traceback" not in result.stderr


def test_one_bad_scan_leaves_nothing_behind(run, fake, tmp_path):
    result = run("detect", "broken.nii.gz", "-o", tmp_path / "out" / "deep")
    assert result.exit_code == 1
    assert "no [such] scan" in result.stderr
    assert not list(tmp_path.iterdir())


def test_files_of_an_earlier_failure_go_away(run, fake, tmp_path):
    row = "good.nii.gz\tZeroDivisionError\tunexpected"
    (tmp_path / "failures.tsv").write_text(f"scan\terror\treason\n{row}\n")
    (tmp_path / "failures.log").write_text("good.nii.gz\nTraceback\n")
    (tmp_path / "index.html").write_text("ZeroDivisionError")
    result = run("detect", "good.nii.gz", "-o", tmp_path)
    assert result.exit_code == 0
    tables = ["group_lesions.tsv", "group_volumes.tsv"]
    assert sorted(x.name for x in tmp_path.iterdir()) == ["good", *tables, "index.html"]
    assert "ZeroDivisionError" not in (tmp_path / "index.html").read_text()


def test_a_failure_is_not_forgotten_because_the_others_are_finished(run, fake, tmp_path):
    run("detect", "broken.nii.gz", "good.nii.gz", "-o", tmp_path)
    again = run("detect", "broken.nii.gz", "good.nii.gz", "-o", tmp_path, "--skip-finished")
    assert again.exit_code == 1
    other = run("detect", "other.nii.gz", "-o", tmp_path)
    assert other.exit_code == 0
    assert (tmp_path / "failures.tsv").read_text().splitlines()[1:] == [
        "broken.nii.gz\tScanError\tbroken.nii.gz: no [such] scan; check the path"
    ]
    assert "broken.nii.gz" in (tmp_path / "index.html").read_text()


def test_log_without_a_terminal_is_plain_lines(run, fake, tmp_path):
    result = run("detect", "one.nii.gz", "two.nii.gz", "-o", tmp_path)
    assert "\x1b" not in result.stderr
    lines = [line.split(" ", 1)[1] for line in result.stderr.splitlines() if "prepare" in line]
    assert lines == ["[1/2] one: prepare", "[2/2] two: prepare"]


def test_warnings_come_before_the_result_and_quiet_keeps_them(run, fake, tmp_path):
    loud = run("detect", "doubtful.nii.gz", "-o", tmp_path).stderr
    assert loud.index("registration is poor") < loud.index("2 lesions")
    quiet = run("detect", "doubtful.nii.gz", "-o", tmp_path, "--quiet").stderr
    assert quiet == "doubtful: warning: registration is poor\n"


def test_same_names_get_their_folders_whatever_the_order(run, fake, tmp_path):
    scans = ["s1/T1w.nii.gz", "s2/T1w.nii.gz", "s2/FLAIR.nii.gz"]
    for number, order in enumerate((scans, scans[::-1])):
        assert run("detect", *order, "-o", tmp_path / str(number)).exit_code == 0
        names = sorted(entry.name for entry in (tmp_path / str(number)).iterdir() if entry.is_dir())
        assert names == ["FLAIR", "s1_T1w", "s2_T1w"]


def test_skip_finished_and_overwrite(run, fake, tmp_path):
    run("detect", "one.nii.gz", "-o", tmp_path)
    result = run("detect", "one.nii.gz", "two.nii.gz", "-o", tmp_path, "--skip-finished")
    assert result.exit_code == 0
    assert "one: has a result already" in result.stderr
    assert [path.name for path, _ in fake.seen] == ["one.nii.gz", "two.nii.gz"]
    run("detect", "one.nii.gz", "-o", tmp_path)
    assert fake.seen[-1][0].name == "one.nii.gz"


def test_the_result_of_another_scan_is_not_taken_for_this_ones(run, fake, tmp_path):
    scan, other = tmp_path / "a" / "T1w.nii.gz", tmp_path / "b" / "T1w.nii.gz"
    folder = tmp_path / "out" / "T1w"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"scan": {"source": str(scan)}}))
    skipped = run("detect", other, "-o", tmp_path / "out", "--skip-finished")
    assert f"the result there is of {scan}, not of {other}" in skipped.stderr
    assert (
        "has a result already" in run("detect", scan, "-o", folder.parent, "--skip-finished").stderr
    )
    assert fake.seen == []
    assert f"replaces the result of {scan}" in run("detect", other, "-o", folder.parent).stderr
    assert len(fake.seen) == 1


def test_a_correction_that_is_replaced_is_told(run, fake, tmp_path):
    scan, folder = tmp_path / "one.nii.gz", tmp_path / "out" / "one"
    folder.mkdir(parents=True)
    edit = {"sha256_before": "a", "sha256_after": "b"}
    said = {"scan": {"source": str(scan)}, "corrected_by_hand": [edit]}
    (folder / "run.json").write_text(json.dumps(said))
    result = run("detect", scan, "-o", tmp_path / "out")
    assert "replaces a result whose mask was corrected by hand" in result.stderr


def test_half_a_result_counts_as_unfinished(run, fake, tmp_path):
    (tmp_path / "one").mkdir()
    run("detect", "one.nii.gz", "-o", tmp_path, "--skip-finished")
    assert len(fake.seen) == 1


def test_every_option_reaches_its_field(run, fake, tmp_path):
    mask = tmp_path / "mask.nii.gz"
    mask.touch()
    arguments = "--sequence FLAIR --device cpu --threads 3 --threshold 0.7 --polarity both"
    arguments += " --min-lesion-mm3 55 --brain-extraction atlas --no-bias-field --force"
    arguments += " --score normalised --route edges --reuse fitted"
    arguments += f" --atlas {mask} --weights mine --brain-mask {mask}"
    result = run("detect", "x.nii.gz", "-o", tmp_path, *arguments.split())
    assert result.exit_code == 0, result.output
    config = fake.seen[0][1]
    assert (config.sequence, config.device, config.threads) == ("FLAIR", "cpu", 3)
    assert (config.weights, config.atlas) == ("mine", mask)
    assert (config.anomaly.threshold, config.anomaly.polarity) == (0.7, "both")
    assert config.anomaly.min_lesion_mm3 == 55
    assert (config.anomaly.score, config.route, config.reuse) == ("normalised", "edges", "fitted")
    assert config.preprocess.brain_extraction == "atlas"
    assert (config.preprocess.bias_field, config.preprocess.force) == (False, True)
    assert config.preprocess.brain_mask == mask


def test_defaults_are_those_of_the_configuration(run, fake, tmp_path):
    run("detect", "x.nii.gz", "-o", tmp_path)
    assert fake.seen[0][1] == type(fake.seen[0][1])()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.nii.gz"],
        ["a.nii.gz", "-o", "OUT", "--sequence", "PD"],
        ["a.nii.gz", "-o", "OUT", "--threshold", "7"],
        ["a.nii.gz", "-o", "OUT", "--min-lesion-mm3", "-1"],
        ["a.nii.gz", "-o", "OUT", "--outputs", "picture"],
        ["a.nii.gz", "a.nii.gz", "-o", "OUT"],
        ["a.nii.gz", "b.nii.gz", "-o", "OUT", "--brain-mask", __file__],
        ["-o", "OUT"],
    ],
    ids=["no-output", "sequence", "threshold", "volume", "outputs", "twice", "mask", "no-scan"],
)
def test_wrong_usage_is_2_and_runs_nothing(run, fake, tmp_path, arguments):
    result = run("detect", *[tmp_path / "out" if a == "OUT" else a for a in arguments])
    assert result.exit_code == 2
    assert fake.seen == []
    assert not list(tmp_path.iterdir())


def test_missing_weights_stop_before_the_first_scan(run, fake, tmp_path):
    result = run("detect", "a.nii.gz", "-o", tmp_path / "out", "--weights", "missing")
    assert result.exit_code == 1
    assert "WeightsError: no weights called missing" in result.stderr
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written_is_refused_at_once(run, fake, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run("detect", "a.nii.gz", "-o", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "cannot write to" in result.stderr
    assert fake.seen == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_output_is_refused_at_once(run, fake, tmp_path):
    tmp_path.chmod(0o500)
    result = run("detect", "a.nii.gz", "-o", tmp_path)
    tmp_path.chmod(0o700)
    assert result.exit_code == 1
    assert fake.seen == []


def test_several_scans_get_a_cohort_page(run, fake, tmp_path):
    run("detect", "one.nii.gz", "broken.nii.gz", "-o", tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert page.index("no [such] scan") < page.index("<td>one</td>")
    run("detect", "one.nii.gz", "-o", tmp_path / "single")
    run("detect", "a.nii.gz", "b.nii.gz", "-o", tmp_path / "off", "--outputs", "lesions")
    assert not list(tmp_path.glob("*/index.html"))
    assert (
        not list(tmp_path.glob("single/group_*")) and len(list(tmp_path.glob("off/group_*"))) == 2
    )


def test_dicom_results_are_asked_for_by_name(run, fake, tmp_path):
    scan, out = tmp_path / "series", tmp_path / "out"
    scan.mkdir()
    result = run("detect", scan, "-o", out, "--outputs", "all,dicom")
    assert result.exit_code == 0, result.output
    asked = (out / "series" / "run.json").read_text()
    assert asked == str(sorted({*OUTPUTS, "dicom"}))
    assert "dicom" not in OUTPUTS  # they hold the patient's name


def test_dicom_results_of_other_files_are_refused_before_any_work(run, fake, tmp_path):
    folder, file = tmp_path / "series", tmp_path / "scan.nii.gz"
    folder.mkdir()
    file.touch()
    result = run("detect", folder, file, "-o", tmp_path / "out", "--outputs", "dicom")
    assert result.exit_code == 2
    assert "scan.nii.gz is no DICOM;" in " ".join(result.output.split())
    assert fake.seen == [] and not (tmp_path / "out").exists()


def test_dicom_results_without_highdicom_are_refused_before_any_work(
    run, fake, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    result = run("detect", tmp_path, "-o", tmp_path / "out", "--outputs", "dicom")
    assert result.exit_code == 2
    assert "anatomaly[dicom]" in result.output
    assert fake.seen == []


def test_dicom_files_of_one_series_are_run_once(run, fake, tmp_path):
    """`detect folder/*.dcm`: a file stands for its series."""
    for name, series in (("a", "1.1"), ("b", "1.1"), ("c", "1.2")):
        data = Dataset()
        data.Rows = data.Columns = 2
        data.SeriesInstanceUID = series
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dcmwrite(tmp_path / f"{name}.dcm", data, enforce_file_format=True)
    files = sorted(tmp_path.glob("*.dcm"))
    result = run("detect", *files, "-o", tmp_path / "out", "--outputs", "dicom")
    # the fake takes them for NIfTI and fails; which it was asked for is what counts
    assert [path.name for path, _ in fake.seen] == ["a.dcm", "c.dcm"]
    assert "1 more DICOM files are of series given already" in result.stderr


def test_outputs_list(run, fake, tmp_path):
    run("detect", "a.nii.gz", "-o", tmp_path, "--outputs", "lesions,anomaly_map")
    assert (tmp_path / "a" / "run.json").read_text() == "['anomaly_map', 'lesions']"
    assert parse_outputs("all") is None
    with pytest.raises(ConfigError, match="empty"):
        parse_outputs(" , ")


@pytest.mark.parametrize("kind", ["good", "broken", "bug", "doubtful"])
def test_a_name_that_is_no_text_costs_nothing(run, fake, tmp_path, kind):
    odd, place = f"{kind}_Sch\udce4del_T1w.nii.gz", tmp_path / "out"
    try:
        (tmp_path / odd).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    result = run("detect", tmp_path / odd, tmp_path / "other.nii.gz", "-o", place)
    assert rf"{kind}_Sch\xe4del_T1w" in result.stderr
    assert not isinstance(result.exception, UnicodeError)
    made = (place / f"{kind}_Sch\udce4del_T1w" / "run.json").is_file()
    assert made == (kind in ("good", "doubtful"))
    assert result.exit_code == (0 if made else 1)
    if not made:
        assert rf"{kind}_Sch\xe4del_T1w.nii.gz" in (place / "failures.tsv").read_text("utf-8")
    assert (place / "index.html").is_file()


def test_many_scans_end_with_how_many_need_a_look(run, fake, tmp_path):
    scans = ("good.nii.gz", "doubtful.nii.gz", "doubtful_too.nii.gz", "broken.nii.gz")
    last = run("detect", *scans, "-o", tmp_path).stderr
    assert "4 scans: 3 with a result, 2 of them with warnings; 1 failed" in last
    assert "scans: " not in run("detect", "good.nii.gz", "-o", tmp_path / "alone").stderr


def test_a_table_of_failures_that_cannot_be_written_hides_no_failure(
    run, fake, tmp_path, monkeypatch
):
    def full(path, text):
        raise OutputError(f"cannot write {path} (No space left on device)")

    monkeypatch.setattr(run_scans, "write_whole", full)
    result = run("detect", "bug.nii.gz", "good.nii.gz", "-o", tmp_path)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "no failures.tsv: cannot write" in result.stderr
    assert "ZeroDivisionError" in result.stderr.split("no failures.tsv")[1]
    assert "1 of 2 scans failed" in result.stderr
