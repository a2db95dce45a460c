"""Evidence: rebuilt once, kept as small integers, and cut into patches that say what they are."""

import numpy as np
import pytest
import torch

from anatomaly.model.pseudo_healthy import PatientAnatomy
from anatomaly.score import put_contrast_back
from anatomaly.training import evidence
from anatomaly.training.evidence import (
    EvidenceDraws,
    EvidencePatches,
    draw_evidence,
    gather_evidence,
)
from anatomaly.types import SEQUENCES

GRID = (24, 16, 32)


class FakeModel:
    """Grey matter in the lower half and white matter above; edges see them exchanged."""

    def parameters(self):
        yield torch.zeros(1)

    def extract(self, image):
        tissue = torch.zeros(1, 4, *GRID)
        tissue[:, 2, :, :, :16] = 1
        tissue[:, 3, :, :, 16:] = 1
        return PatientAnatomy(torch.zeros(1), image, tissue, 0 * image)

    def restore(self, anatomy, route):
        code = torch.zeros(1, 8, *GRID)
        tissue = anatomy.tissue_map
        code[:, :4] = tissue if route == "tissue_map" else tissue.flip(-1)
        return code


def prepared(seed=0):
    """An image of two tissues with noise, empty outside the brain."""
    brain = torch.zeros(1, 1, *GRID)
    brain[..., 2:-2, 1:-1, 3:-3] = 1
    image = torch.where(torch.arange(32) < 16, 0.4, 0.8).expand(1, 1, *GRID)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + 0.03 * noise).clamp(0, 1) * brain, brain


def test_what_is_gathered_by_hand():
    image, brain = prepared()
    found = gather_evidence(FakeModel(), image, brain)
    assert found.shape == (4, *GRID) and found.dtype == np.uint8
    inside = brain[0, 0].numpy() > 0
    assert not found[:, ~inside].any()
    # half a step of 255, and half precision where the processor has it
    np.testing.assert_allclose(found[0] / 255, image[0, 0], atol=0.5 / 255 + 1e-6)
    model = FakeModel()
    seen = model.extract(image)
    for channel, route in ((1, "edges"), (2, "tissue_map")):
        code = model.restore(seen, route)
        expected = put_contrast_back(image, code, None, brain, "fitted")[0, 0]
        np.testing.assert_allclose(found[channel] / 255, expected, atol=0.6 / 255)
    assert np.abs(found[2] / 255 - image[0, 0].numpy())[inside].mean() < 0.05  # the right tissues
    np.testing.assert_array_equal(found[3], np.where(inside, seen.tissue_map[0].argmax(0), 0))


class FakePairs:
    """Two contrasts of one brain with a lesion; counts its draws."""

    def __init__(self):
        self.drawn = []

    def __getitem__(self, index):
        self.drawn.append(index)
        image, brain = prepared(index)
        lesion = torch.zeros(1, *GRID)
        lesion[:, 4:8, 4:8, 4 + index : 9 + index] = 0.4
        sequence = torch.tensor([index % 3, 2])
        images = torch.cat([image, image**2])
        return {"image": images, "brain": brain[0], "lesion": lesion, "sequence": sequence}


def drawn(folder, count=3):
    pairs, said = FakePairs(), []
    draw_evidence(EvidenceDraws(FakeModel(), pairs, folder, count), 0, said.append)
    return pairs.drawn, said


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_both_members_of_each_pair_are_kept(tmp_path):
    indices, said = drawn(tmp_path / "new" / "pool")
    assert indices == [0, 1, 2]
    assert said == ["0: drawn", "1: drawn", "2: drawn"]
    folder = tmp_path / "new" / "pool"
    assert names(folder) == [
        "00000a_T1w.npy",
        "00000b_FLAIR.npy",
        "00001a_T2w.npy",
        "00001b_FLAIR.npy",
        "00002a_FLAIR.npy",
        "00002b_FLAIR.npy",
    ]
    for name, member in (("00001a_T2w.npy", 0), ("00001b_FLAIR.npy", 1)):
        found, pair = np.load(folder / name), FakePairs()[1]
        assert found.shape == (5, *GRID) and found.dtype == np.uint8
        brain = pair["brain"][None]
        expected = gather_evidence(FakeModel(), pair["image"][member][None], brain)
        np.testing.assert_array_equal(found[:4], expected)
        np.testing.assert_array_equal(found[4], np.round(255 * pair["lesion"][0].numpy()))
        assert set(np.unique(found[4])) == {0, 102}


def test_what_is_there_is_not_drawn_again(tmp_path):
    drawn(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    indices, said = drawn(tmp_path)
    assert indices == [] and said == []
    assert EvidenceDraws(FakeModel(), FakePairs(), tmp_path, 3)[1] == "1: cached"
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_killed_run_goes_on_with_the_pair_it_was_killed_in(tmp_path):
    """One member missing and the other half written: both are drawn again, nothing is left."""
    drawn(tmp_path)
    expected = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "00001b_FLAIR.npy").unlink()
    (tmp_path / ".00001b_FLAIR.npy.part").write_bytes(b"half")
    indices, said = drawn(tmp_path, 4)
    assert indices == [1, 3] and said == ["1: drawn", "3: drawn"]
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(found) == 8
    assert {name: found[name] for name in expected} == expected


# --- patches ---------------------------------------------------------------------------------

WHOLE = (160, 72, 56)
PATCH = (16, 24, 16)
LESION = (20, 40, 12)
"""The only voxel of lesion, on the coarse grid that places are looked for on."""


@pytest.fixture(name="paths", scope="module")
def fixture_paths(tmp_path_factory):
    """Three brains of random values, empty in their outermost eight voxels."""
    folder, rng = tmp_path_factory.mktemp("evidence"), np.random.default_rng(0)
    paths = []
    for number, sequence in enumerate(("T2w", "FLAIR", "T1w")):
        volumes = np.zeros((5, *WHOLE), np.uint8)
        inner = (slice(None), *(slice(8, n - 8) for n in WHOLE))
        brain = volumes[inner]
        brain[:3] = rng.integers(1, 256, brain[:3].shape)
        brain[3] = rng.integers(1, 4, brain[3].shape)
        volumes[(4, *LESION)] = 200 - number
        paths.append(folder / f"{number:05d}a_{sequence}.npy")
        np.save(paths[-1], volumes)
    return paths


@pytest.fixture(name="patches")
def fixture_patches(paths, monkeypatch):
    monkeypatch.setattr(evidence, "TEMPLATE_SHAPE", WHOLE)
    return EvidencePatches(paths, PATCH, seed=4)


def crop_of(patch, volumes):
    """Five volumes and the other hemisphere's image where a patch was cut; whether mirrored."""
    box = tuple(slice(a, a + n) for a, n in zip(patch["start"].tolist(), PATCH, strict=True))
    across = volumes[:1, (160 - np.arange(160)) % 160]
    both = np.concatenate([volumes, across])
    for mirrored in (False, True):
        crop = (both[:, ::-1] if mirrored else both)[(slice(None), *box)]
        if np.array_equal(crop[3], patch["tissue"].numpy()):
            return crop.astype(np.float64), mirrored
    raise AssertionError("the tissue is that of no place in the brain")


def volumes_of(patch, paths):
    name = SEQUENCES[int(patch["sequence"])]
    return np.load(next(path for path in paths if name in path.name))


def test_the_same_index_gives_the_same_patch(paths, patches):
    again = EvidencePatches(paths, PATCH, seed=4)
    first = {index: patches[index] for index in (0, 3, 8)}
    for index in (8, 0, 3):
        for key, value in again[index].items():
            assert torch.equal(value, first[index][key])
    other = EvidencePatches(paths, PATCH, seed=5)[3]
    assert not torch.equal(other["image"], first[3]["image"])
    assert not torch.equal(first[0]["image"], first[3]["image"])


def test_types_and_ranges(patches):
    for index in range(20):
        patch = patches[index]
        for key in ("image", "mirrored", "from_edges", "from_tissue", "lesion"):
            assert patch[key].shape == (1, *PATCH) and patch[key].dtype == torch.float32
            assert patch[key].min() >= 0 and patch[key].max() <= 1
        assert patch["tissue"].shape == PATCH and patch["tissue"].dtype == torch.int64
        assert patch["sequence"].shape == () and patch["start"].dtype == torch.int64
        start = patch["start"]
        assert (start % 2 == 0).all() and (start >= 0).all()  # the context is at half resolution
        assert (start + torch.tensor(PATCH) <= torch.tensor(WHOLE)).all()


def test_a_patch_is_a_crop_where_it_says(paths, patches):
    """Of the brain or of its mirror image; the grey values are bent by one power for all."""
    mirrored, powers, spreads = [], [], []
    for index in range(60):
        patch = patches[index]
        crop, flipped = crop_of(patch, volumes_of(patch, paths))
        mirrored.append(flipped)
        np.testing.assert_allclose(patch["lesion"][0], crop[4] / 255, atol=1e-6)
        inside = crop[1] > 0
        keys = ("from_edges", "from_tissue", "mirrored")
        found = [patch[key][0].numpy().astype(np.float64) for key in keys]
        dark = (crop[1] > 0) & (crop[1] < 250)
        power = np.median(np.log(found[0][dark]) / np.log(crop[1][dark] / 255))
        powers.append(power)
        for volume, source in zip(found, crop[[1, 2, 5]], strict=True):
            np.testing.assert_allclose(volume, (source / 255) ** power, atol=1e-4)
        noise = patch["image"][0].numpy() - (crop[0] / 255) ** power
        assert not noise[~inside].any()
        middle = (crop[0] > 40) & (crop[0] < 215)  # where nothing is cut at 0 and 1
        spreads.append(noise[middle].std())
        assert abs(noise[middle].mean()) < 0.002
    assert 18 <= sum(mirrored) <= 42  # half of 60, spread 3.9
    assert 0.8 <= min(powers) < 0.87 and 1.17 < max(powers) <= 1.25
    assert max(spreads) < 0.0205 and np.mean(spreads) == pytest.approx(0.01, abs=0.003)


def test_sequences_are_those_of_the_file_names(paths, patches):
    """The lesion of each brain has a value of its own."""
    value = {"T2w": 200, "FLAIR": 199, "T1w": 198}
    seen = set()
    for index in range(40):
        patch = patches[index]
        if patch["lesion"].any():
            name = SEQUENCES[int(patch["sequence"])]
            assert patch["lesion"].max().item() == pytest.approx(value[name] / 255, abs=1e-6)
            seen.add(name)
    assert seen == set(SEQUENCES)


def test_half_of_the_patches_have_the_lesion(patches):
    """And others only by chance: some 16 · 24 · 16 of 48 · 56 · 40 voxels, .06."""
    held = [bool(patches[index]["lesion"].any()) for index in range(300)]
    # .5 + .5 · .06 to .1, since centres lie in the brain and patches are moved inside
    assert np.mean(held) == pytest.approx(0.54, abs=0.09)


def test_the_lesion_is_not_always_in_the_middle(patches):
    """Anywhere in the middle half of the patch along each axis, unless the border is near."""
    places = [
        patches[index]["lesion"][0].nonzero()[0].numpy()
        for index in range(200)
        if patches[index]["lesion"].any()
    ]
    spread = np.std(places, axis=0) / PATCH
    assert (spread > 0.1).all() and (spread < 0.28).all()  # .14 for half of a patch


def test_a_healthy_brain_has_patches_in_its_brain(tmp_path, monkeypatch):
    """One corner of brain, no lesion at all: every patch reaches it."""
    monkeypatch.setattr(evidence, "TEMPLATE_SHAPE", WHOLE)
    volumes = np.zeros((5, *WHOLE), np.uint8)
    volumes[:4, 44:52, 52:60, 40:48] = 3
    np.save(tmp_path / "00000b_T1w.npy", volumes)
    patches = EvidencePatches([tmp_path / "00000b_T1w.npy"], PATCH, seed=1)
    for index in range(30):
        assert (patches[index]["tissue"] == 3).any()
        assert not patches[index]["lesion"].any()
