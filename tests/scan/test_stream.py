"""Files packed oddly: twice, with other bytes behind, or not as their name says."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anatomaly.errors import ScanError
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]


@pytest.mark.parametrize(
    ("junk", "told"),
    [
        (b"", False),
        (b"\0" * 512, False),
        (b"\r\n--boundary--\r\n", True),
        (b"x", True),
        (b"\0" * 100 + b"junk" * 90_000, True),
    ],
)
def test_bytes_behind_the_compressed_data(save: Save, head: np.ndarray, junk: bytes, told: bool):
    path = save(head)
    path.write_bytes(path.read_bytes() + junk)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, head)
    assert any("other bytes follow the compressed data" in w for w in scan.warnings) == told


def test_checksum_is_read_before_the_other_bytes(save: Save, head: np.ndarray):
    path = save(head)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content + b"junk")
    with pytest.raises(ScanError, match=r"damaged.*CRC"):
        read_scan(path)


@pytest.mark.parametrize("times", [2, 3])
def test_packed_more_than_once(save: Save, head: np.ndarray, times: int):
    path = save(head)
    content = path.read_bytes()
    for _ in range(times - 1):
        content = gzip.compress(content)
    path.write_bytes(content)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, head)
    assert any(f"gzip-compressed {times} times over" in w for w in scan.warnings)
    path.write_bytes(content[:-300])
    with pytest.raises(ScanError, match="truncated or damaged"):
        read_scan(path)


def test_several_members_are_one_file(save: Save, head: np.ndarray):
    """As bgzip and pigz write them."""
    path = save(head, "scan.nii")
    content = path.read_bytes()
    parts = [content[i : i + 50_000] for i in range(0, len(content), 50_000)]
    packed = path.with_suffix(".nii.gz")
    packed.write_bytes(b"".join(gzip.compress(part) for part in parts))
    scan = read_scan(packed)
    assert np.array_equal(scan.volume.data, head)
    assert scan.warnings == ()


def test_twice_packed_promise_takes_no_memory(save: Save, head: np.ndarray, poke: Callable):
    """A few bytes packed twice could hold gigabytes: memory is taken as they come."""
    path = poke(save(head, "scan.nii"), dim=[3, 700, 700, 700, 1, 1, 1, 1])
    packed = path.with_suffix(".nii.gz")
    packed.write_bytes(gzip.compress(gzip.compress(path.read_bytes())))
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ScanError, match="truncated or damaged"):
        read_scan(packed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes
