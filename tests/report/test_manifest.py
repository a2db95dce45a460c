"""The manifest: what comes back from the file, and what happens when it cannot be written."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from anatomaly.errors import OutputError
from anatomaly.report.manifest import software_versions, write_manifest


@dataclass(frozen=True)
class Setting:
    folder: Path
    spacing: tuple[float, float]


def test_what_is_read_back(tmp_path):
    run = {
        "affine": np.diag([1, 2.5, 3, 1]),
        "setting": Setting(Path("in/scan.nii.gz"), (0.5, 2.0)),
        "score": np.float32(0.25),
        "nothing": float("nan"),
        "outputs": {"map", "mask"},
        "name": "Zoë",
        7: True,
    }
    write_manifest(tmp_path / "run.json", run)
    read = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert read == {
        "affine": np.diag([1, 2.5, 3, 1]).tolist(),
        "setting": {"folder": "in/scan.nii.gz", "spacing": [0.5, 2.0]},
        "score": 0.25,
        "nothing": None,
        "outputs": ["map", "mask"],
        "name": "Zoë",
        "7": True,
    }
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_what_has_no_plain_form_leaves_the_older_file(tmp_path):
    write_manifest(tmp_path / "run.json", {"a": 1})
    with pytest.raises(TypeError, match="object"):
        write_manifest(tmp_path / "run.json", {"a": object()})
    assert json.loads((tmp_path / "run.json").read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_manifest(tmp_path / "none" / "run.json", {})


def test_versions_are_those_of_the_installed_packages():
    versions = software_versions()
    assert versions["numpy"] == np.__version__
    assert versions["anatomaly"] == version("anatomaly")
    assert {"torch", "niimath", "nilearn", "deepbet", "python", "platform"} <= versions.keys()


def test_a_name_that_is_no_text_is_written_so_that_json_can_be_read(tmp_path):
    run = {"source": Path("Sch\udce4del.nii"), "warnings": ["of Sch\udce4del"], "k\udce4y": 1}
    write_manifest(tmp_path / "run.json", run)
    read = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert read == {
        "source": r"Sch\xe4del.nii",
        "warnings": [r"of Sch\xe4del"],
        r"k\xe4y": 1,
    }
