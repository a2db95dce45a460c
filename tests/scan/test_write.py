"""Results on disk: on the scan's own grid bit for bit, and whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly import leftovers
from anatomaly.errors import OutputError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.scan import write
from anatomaly.scan.read import read_scan, scan_from_image
from anatomaly.scan.write import output_folder, result_files, write_volume
from anatomaly.volume import Scan, Volume

Save = Callable[..., Path]


@pytest.fixture
def scan(save: Save, head: np.ndarray) -> Scan:
    return read_scan(save(head))


def write_result(folder: Path, text: str) -> None:
    """What a small run writes."""
    (folder / "run.json").write_text(text)


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 2), (3, 1), (0, 0)])
def test_position_is_that_of_the_input_bit_for_bit(
    save: Save, head: np.ndarray, tmp_path: Path, name: str, sform: int, qform: int
):
    path = save(head, sform_code=sform, qform_code=qform)
    scan = read_scan(path)
    out = write_volume(tmp_path / name, scan.volume.with_data(head * 2), scan, np.float32)
    before, after = nib.load(path), nib.load(out)
    assert np.array_equal(after.affine, before.affine)
    assert (int(after.header["sform_code"]), int(after.header["qform_code"])) == (sform, qform)
    assert after.header["xyzt_units"] == before.header["xyzt_units"]
    for field in ("pixdim", "srow_x", "quatern_b", "quatern_c", "quatern_d", "qoffset_y"):
        assert np.array_equal(after.header[field], before.header[field]), field
    assert np.array_equal(np.asanyarray(after.dataobj), head * 2)
    assert after.get_data_dtype() == np.float32


def test_many_oblique_qforms_are_kept(save: Save, head: np.ndarray, tmp_path: Path):
    random = np.random.default_rng(11)
    for n in range(20):
        affine = np.eye(4)
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        affine[:3, :3] = turn * random.uniform(2, 5, 3)
        affine[:3, 3] = random.normal(0, 100, 3)
        path = save(head, affine=affine, sform_code=0, qform_code=1 + n % 4)
        out = write_volume(tmp_path / "x.nii", (scan := read_scan(path)).volume, scan, np.float32)
        assert np.array_equal(nib.load(out).affine, nib.load(path).affine)
        assert np.array_equal(nib.load(out).affine, scan.volume.affine)


def test_mask_is_uint8_without_scaling_and_without_the_scans_past(
    save: Save, head: np.ndarray, tmp_path: Path, poke: Callable[..., Path]
):
    path = save(head.astype(np.int16), "scan.nii")
    scan = read_scan(poke(path, scl_slope=2, scl_inter=5, cal_max=99, descrip=b"John Doe 1950"))
    mask = scan.volume.with_data(scan.volume.data > 300)
    out = write_volume(tmp_path / "mask.nii.gz", mask, scan, np.uint8)
    raw = gzip.decompress(out.read_bytes())
    header = nib.Nifti1Header(raw[:348])
    assert (float(header["scl_slope"]), float(header["scl_inter"])) == (1.0, 0.0)
    assert (float(header["cal_max"]), bytes(header["descrip"].tobytes()).strip(b"\0")) == (0.0, b"")
    assert len(raw) == 352 + mask.data.size
    assert nib.load(out).get_data_dtype() == np.uint8
    assert np.array_equal(np.asanyarray(nib.load(out).dataobj), mask.data)


def test_other_units_stay_in_the_file(
    save: Save, head: np.ndarray, oblique: np.ndarray, tmp_path: Path
):
    in_metres = oblique.copy()
    in_metres[:3] /= 1000
    path = save(head, affine=in_metres, unit="meter")
    scan = read_scan(path)
    out = write_volume(tmp_path / "x.nii", scan.volume, scan, np.float32)
    assert np.array_equal(nib.load(out).affine, nib.load(path).affine)
    assert nib.load(out).header.get_xyzt_units()[0] == "meter"


def test_mgz_and_big_endian_and_nifti2_inputs(tmp_path: Path, head: np.ndarray, oblique):
    nib.MGHImage(head, oblique).to_filename(tmp_path / "a.mgz")
    nib.Nifti2Image(head, oblique).to_filename(tmp_path / "b.nii")
    swapped = nib.Nifti1Image(head, oblique).header.as_byteswapped(">")
    nib.Nifti1Image(head, oblique, swapped).to_filename(tmp_path / "c.nii")
    for name in ("a.mgz", "b.nii", "c.nii"):
        scan = read_scan(tmp_path / name)
        out = write_volume(tmp_path / "out.nii.gz", scan.volume, scan, np.float32)
        assert np.array_equal(nib.load(out).affine, scan.volume.affine)
        np.testing.assert_allclose(
            nib.load(out).affine, nib.load(tmp_path / name).affine, rtol=0, atol=2e-5
        )
        assert np.array_equal(np.asanyarray(nib.load(out).dataobj), head)


def test_template_grid_gets_its_own_affine(scan: Scan, tmp_path: Path):
    volume = Volume(np.zeros(TEMPLATE_SHAPE, dtype=np.uint8), TEMPLATE_AFFINE)
    image = nib.load(write_volume(tmp_path / "t.nii.gz", volume, scan, np.uint8))
    assert np.array_equal(image.affine, TEMPLATE_AFFINE)
    assert int(image.header["sform_code"]) == 4


def test_scan_from_memory_can_be_written(head: np.ndarray, oblique: np.ndarray, tmp_path: Path):
    for image in (Volume(head, oblique), nib.Nifti1Image(head, oblique)):
        scan = scan_from_image(image)
        out = write_volume(tmp_path / "x.nii.gz", scan.volume, scan, np.float32)
        assert np.array_equal(nib.load(out).affine, oblique)
    bare = Scan(volume=Volume(head, oblique), name="bare")
    out = write_volume(tmp_path / "x.nii.gz", bare.volume, bare, np.float32)
    assert np.array_equal(nib.load(out).affine, oblique)


def test_equal_input_gives_equal_bytes(scan: Scan, tmp_path: Path):
    one = write_volume(tmp_path / "one.nii.gz", scan.volume, scan, np.float32).read_bytes()
    time.sleep(1.1)
    assert write_volume(tmp_path / "two.nii.gz", scan.volume, scan, np.float32).read_bytes() == one


@pytest.mark.parametrize(
    ("value", "dtype"), [(256, np.uint8), (-1, np.uint8), (0.5, np.uint8), (1e39, np.float32)]
)
def test_values_that_would_change_are_refused(
    scan: Scan, tmp_path: Path, value: float, dtype: type
):
    data = np.zeros(scan.volume.shape)
    data[3, 4, 5] = value
    with pytest.raises(ValueError, match="do not fit"):
        write_volume(tmp_path / "x.nii.gz", scan.volume.with_data(data), scan, dtype)
    with pytest.raises(ValueError, match=r"ends with \.nii"):
        write_volume(tmp_path / "x.mgz", scan.volume, scan, np.float32)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_older_file_stays_when_writing_fails(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = write_volume(tmp_path / "x.nii.gz", scan.volume, scan, np.float32)
    before = out.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write, "_stream", full)
    with pytest.raises(OutputError, match=r"the disk is full.*free some space"):
        write_volume(out, scan.volume, scan, np.float32)
    assert out.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x.nii.gz"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_really_full_device_is_reported(scan: Scan, tmp_path: Path, monkeypatch):
    real = Path.open

    def open_full(self: Path, mode: str = "r", *rest: object, **named: object):
        return real(Path("/dev/full") if mode == "xb" else self, mode.replace("x", "w"))

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_volume(tmp_path / "x.nii", scan.volume, scan, np.float32)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_folder_appears_whole(tmp_path: Path):
    target = tmp_path / "out" / "sub-01"
    with output_folder(target) as folder:
        write_result(folder, "1")
        assert not target.exists()
    assert (target / "run.json").read_text() == "1"
    assert [p.name for p in target.parent.iterdir()] == ["sub-01"]


def test_failure_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), output_folder(tmp_path / "a" / "b" / "c") as folder:
        write_result(folder, "1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_older_result_is_replaced_and_own_files_are_kept(tmp_path: Path):
    target = tmp_path / "sub-01"
    with output_folder(target) as folder:
        write_result(folder, "1")
        (folder / "overview.png").write_text("old picture")
    (target / "my_notes.txt").write_text("look at slice 40")
    (target / "mine").mkdir()
    (target / "mine" / "drawing.nii").write_text("x")
    with output_folder(target) as folder:
        write_result(folder, "2")
    assert sorted(p.name for p in target.iterdir()) == ["mine", "my_notes.txt", "run.json"]
    assert (target / "run.json").read_text() == "2"
    assert (target / "mine" / "drawing.nii").read_text() == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["sub-01"]


def test_older_result_survives_a_failure(tmp_path: Path):
    target = tmp_path / "sub-01"
    with output_folder(target) as folder:
        write_result(folder, "1")
    with pytest.raises(RuntimeError), output_folder(target) as folder:
        write_result(folder, "2")
        raise RuntimeError
    assert (target / "run.json").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["sub-01"]


def test_older_result_survives_a_failed_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "sub-01"
    with output_folder(target) as folder:
        write_result(folder, "1")
    real = Path.rename

    def rename(self: Path, to: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OutputError, match="disk is full"), output_folder(target) as folder:
        write_result(folder, "2")
    assert (target / "run.json").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["sub-01"]


def test_foreign_folders_and_files_are_not_replaced(tmp_path: Path):
    foreign = tmp_path / "home"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"not a result of anatomaly.*choose another"), \
            output_folder(foreign):  # fmt: skip
        pytest.fail("must not be entered")
    with pytest.raises(OutputError, match="is a file, expected a folder"), \
            output_folder(foreign / "thesis.tex"):  # fmt: skip
        pytest.fail("must not be entered")
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with output_folder(empty) as folder:
        write_result(folder, "1")
    assert (empty / "run.json").is_file()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_read_only_place_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=r"cannot be written.*choose another output folder"), \
            output_folder(tmp_path / "out" / "x"):  # fmt: skip
        pytest.fail("must not be entered")
    assert list(tmp_path.iterdir()) == []


def test_place_below_a_file_is_reported(tmp_path: Path, scan: Scan):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"), \
            output_folder(tmp_path / "file" / "out"):  # fmt: skip
        pytest.fail("must not be entered")
    with pytest.raises(OutputError, match=r"cannot be written.*folder exists"):
        write_volume(tmp_path / "missing" / "x.nii", scan.volume, scan, np.float32)


def test_disk_that_fills_up_half_way_is_reported(tmp_path: Path):
    with pytest.raises(OutputError, match="disk is full"), output_folder(tmp_path / "o" / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_errors_that_are_not_about_the_output_pass_through(tmp_path: Path):
    with pytest.raises(FileNotFoundError), output_folder(tmp_path / "x"):
        Path("/nowhere/weights").read_bytes()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from anatomaly.scan.write import output_folder
with output_folder(sys.argv[1]) as folder:
    (folder / "run.json").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def start_and_wait(target: Path) -> subprocess.Popen[str]:
    """Start a run that is in the middle of writing when this returns."""
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    return run


def test_killed_half_way_and_run_again(tmp_path: Path):
    target = tmp_path / "sub-01"
    with output_folder(target) as folder:
        write_result(folder, "old")
    run = start_and_wait(target)
    assert len(list(tmp_path.iterdir())) == 2
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert (target / "run.json").read_text() == "old"
    with output_folder(target) as folder:
        assert len(list(tmp_path.iterdir())) == 2
        write_result(folder, "new")
    assert (target / "run.json").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["sub-01"]


def test_a_running_neighbour_is_left_alone(tmp_path: Path):
    target = tmp_path / "sub-01"
    run = start_and_wait(target)
    try:
        with output_folder(target) as folder:
            write_result(folder, "mine")
        partial = [p for p in tmp_path.iterdir() if p.name.endswith(".partial")]
        assert len(partial) == 1
        assert (partial[0] / "run.json").read_text() == "half"
    finally:
        run.kill()
        run.wait()


def test_killed_between_the_two_renames(tmp_path: Path):
    target = tmp_path / "sub-01"
    old = tmp_path / ".sub-01.0123abcd.old"
    old.mkdir()
    write_result(old, "old")
    with pytest.raises(RuntimeError), output_folder(target):
        assert (target / "run.json").read_text() == "old"
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["sub-01"]


def test_own_files_in_a_folder_of_the_result_are_kept(tmp_path: Path):
    def labels(folder: Path, *names: str) -> None:
        (folder / "labels").mkdir()
        for name in names:
            (folder / "labels" / name).write_text(str(folder))

    folder = tmp_path / "out"
    with output_folder(folder) as new:
        write_result(new, "1")
        labels(new, "lesions_itksnap.txt")
    (folder / "labels" / "mine.txt").write_text("my colours")
    for made in (True, False):
        with output_folder(folder) as new:
            write_result(new, "2")
            if made:
                labels(new, "tissue_map_slicer.ctbl")
        there = {path.name for path in (folder / "labels").iterdir()}
        assert there == {"mine.txt", *(["tissue_map_slicer.ctbl"] if made else [])}
    assert result_files(folder) == [folder / "run.json"]


def test_killed_before_the_users_files_were_carried_over(tmp_path: Path):
    target = tmp_path / "sub-01"
    old = tmp_path / ".sub-01.0123abcd.old"
    for folder, text in ((old, "old"), (target, "new")):
        folder.mkdir()
        write_result(folder, text)
    (old / "my_notes.txt").write_text("look at slice 40")
    with pytest.raises(RuntimeError), output_folder(target):
        raise RuntimeError
    assert (target / "run.json").read_text() == "new"
    assert (target / "my_notes.txt").read_text() == "look at slice 40"
    assert [p.name for p in tmp_path.iterdir()] == ["sub-01"]


def test_hidden_folders_of_others_are_not_touched(tmp_path: Path):
    names = [".sub-01.partial", ".sub-010.0123abcd.partial", ".sub-01.mine.old", "sub-01.old"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    with output_folder(tmp_path / "sub-01") as folder:
        write_result(folder, "1")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "sub-01"])


def test_a_day_old_leftover_goes_even_where_locks_do_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leftovers, "fcntl", None)
    for name, age in ((".x.00000001.partial", 90_000), (".x.00000002.partial", 10)):
        folder = tmp_path / name
        folder.mkdir()
        write_result(folder, "half")
        os.utime(folder, (time.time() - age, time.time() - age))
    with output_folder(tmp_path / "x") as folder:
        write_result(folder, "1")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".x.00000002.partial", "x"]


def test_result_behind_a_link_is_replaced_there(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with output_folder(tmp_path / "link") as folder:
        write_result(folder, "1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "run.json").read_text() == "1"
    shutil.rmtree(tmp_path / "real")


def test_results_of_raw_heads_lie_on_their_scans(data_folder: Path, tmp_path: Path):
    for path in sorted((data_folder / "raw_heads").rglob("*.nii.gz")):
        scan = read_scan(path)
        mask = scan.volume.with_data(scan.volume.data > scan.volume.data.mean())
        after = nib.load(write_volume(tmp_path / "mask.nii.gz", mask, scan, np.uint8))
        before = nib.load(path)
        assert np.array_equal(after.affine, before.affine)
        assert np.array_equal(after.get_qform(), before.get_qform())
        for field in ("sform_code", "qform_code", "xyzt_units"):
            assert after.header[field] == before.header[field]
        assert np.array_equal(np.asanyarray(after.dataobj), mask.data)


def test_two_jobs_that_write_one_result_again_and_again_both_succeed(tmp_path: Path):
    import threading

    failed: list[Exception] = []

    def job(name: str) -> None:
        for turn in range(40):
            try:
                with output_folder(tmp_path / "x") as folder:
                    write_result(folder, f"{name} {turn}")
            except Exception as error:
                failed.append(error)

    jobs = [threading.Thread(target=job, args=(name,)) for name in ("one", "two", "three")]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert failed == []
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_signal_between_the_two_renames_keeps_the_older_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with output_folder(tmp_path / "x") as folder:
        write_result(folder, "1")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise SystemExit(143)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(SystemExit), output_folder(tmp_path / "x") as folder:
        write_result(folder, "2")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x" / "run.json").read_text() == "1"
