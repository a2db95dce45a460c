"""Bad input through the whole program: a message that helps, exit status 1, nothing left behind."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from anatomaly.cli.main import app

SHAPE = (64, 72, 60)


def _head(seed: int = 0) -> np.ndarray:
    """A ball of tissue with noise: enough to pass for an image until the brain is looked for."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    ball = np.linalg.norm(grid, axis=0) < 0.8
    noise = np.random.default_rng(seed).normal(0, 20, SHAPE)
    return np.clip(600 * ball + noise, 0, None).astype(np.float32)


def _save(path: Path, data: np.ndarray, spacing: float = 3.0) -> None:
    nib.save(nib.Nifti1Image(data, np.diag([spacing, spacing, spacing, 1.0])), path)


def _text(path: Path) -> None:
    path.write_text("subject,age\n1,40\n")


def _truncated(path: Path) -> None:
    _save(path, _head())
    path.write_bytes(path.read_bytes()[:20_000])


def _terabytes(path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header["dim"][:4] = (3, 32_000, 32_000, 32_000)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    header.set_sform(np.eye(4), code=1)
    path.write_bytes(gzip.compress(header.binaryblock + b"\0" * 100))


def _no_affine(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        image = nib.Nifti1Image(_head(), np.diag([3.0, 3.0, 3.0, 1.0]))
        header = image.header
        header["sform_code"], header["qform_code"] = 1, 1
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row] = value
        header["pixdim"][1:4] = value
        header["quatern_b"] = 2.0 if value == 0 else value
        raw = header.binaryblock + b"\0" * 4 + np.asarray(_head()).tobytes(order="F")
        path.write_bytes(gzip.compress(raw))

    return make


def _array(make: Callable[[], np.ndarray], spacing: float = 3.0) -> Callable[[Path], None]:
    return lambda path: _save(path, make(), spacing)


def _nan() -> np.ndarray:
    data = _head()
    data[np.random.default_rng(0).random(data.shape) < 0.05] = np.nan
    return data


def _ct() -> np.ndarray:
    data = np.full(SHAPE, -1000, np.float32)
    inside = _head() > 100
    data[inside] = np.random.default_rng(0).normal(40, 12, int(inside.sum()))
    return data


def _rgb(path: Path) -> None:
    dtype = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, dtype), np.diag([3.0, 3.0, 3.0, 1.0])), path)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "text": (_text, "not a"),
    "truncated": (_truncated, "truncated"),
    "terabytes": (_terabytes, "131.1 TB"),
    "series_4d": (_array(lambda: np.stack([_head(s) for s in range(3)], -1)), "volume"),
    "rgb": (_rgb, "RGB"),
    "nan": (_array(_nan), "NaN"),
    "zeros": (_array(lambda: np.zeros(SHAPE, np.float32)), "zero"),
    "constant": (_array(lambda: np.full(SHAPE, 7.0, np.float32)), "constant value 7"),
    "one_slice": (_array(lambda: _head()[:, :, :1]), "slice"),
    "slab": (_array(lambda: _head()[:, :, :7]), "mm"),
    "mask": (_array(lambda: (_head() > 300).astype(np.uint8)), "mask"),
    "ct": (_array(_ct), "CT"),
    "affine_zero": (_no_affine(0.0), "affine"),
    "affine_nan": (_no_affine(float("nan")), "affine"),
}


@pytest.fixture(scope="module", name="refused")
def fixture_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str, int, dict[str, str]]:
    """All bad scans in one cohort run: its output folder, log, exit status and failure table."""
    folder = tmp_path_factory.mktemp("bad")
    scans = []
    for name, (make, _) in BAD.items():
        scans.append(folder / f"{name}.nii.gz")
        make(scans[-1])
    scans += [folder / "missing.nii.gz", folder / "no_dicom"]
    scans[-1].mkdir()
    output = folder / "out"
    result = CliRunner().invoke(app, ["detect", *map(str, scans), "-o", str(output)])
    rows = (output / "failures.tsv").read_text().splitlines()[1:]
    reasons = {Path(row.split("\t")[0]).name.split(".")[0]: row.split("\t", 1)[1] for row in rows}
    return output, result.output, result.exit_code, reasons


def test_every_bad_scan_is_in_the_table_and_the_status_says_so(refused):
    _, _, status, reasons = refused
    assert status == 1
    assert set(reasons) == {*BAD, "missing", "no_dicom"}


@pytest.mark.parametrize("name", BAD)
def test_the_message_says_what_was_found(refused, name: str):
    reason = refused[3][name]
    assert BAD[name][1].lower() in reason.lower()
    assert not reason.startswith(("TypeError", "ValueError", "KeyError", "MemoryError"))


def test_nothing_but_the_table_and_its_page_is_left_behind(refused):
    assert sorted(p.name for p in refused[0].iterdir()) == ["failures.tsv", "index.html"]
