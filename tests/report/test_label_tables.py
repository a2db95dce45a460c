"""Tables of labels, read back as the four programs read them (sources named in the module)."""

import re

import numpy as np
import pytest

from anatomaly.report.label_tables import (
    ANOMALY,
    PROGRAMS,
    TISSUES,
    Label,
    lesion_labels,
    write_label_tables,
)

AWKWARD = (Label(1, 'say "so" twice', (1, 2, 3)), Label(20, "grey matter", (255, 128, 0)))
LISTS = {"tissues": TISSUES, "mask": ANOMALY, "lesions": lesion_labels(40), "awkward": AWKWARD}


def read_itksnap(path):
    """As `ColorLabelTable::LoadFromFile`: seven numbers, then what stands between quotes."""
    labels = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            numbers, name = re.fullmatch(r'\s*((?:[\d.]+\s+){7})"([^"]*)"', line).groups()
            index, red, green, blue, alpha, visible, mesh = map(float, numbers.split())
            labels[int(index)] = (name, (red, green, blue), (alpha, visible, mesh))
    return labels


def read_fsleyes(path):
    """As `loadLookupTableFile`, with its guess of the kind of file, which passes over odd lines."""
    with path.open() as file:
        for line in file:
            line = file.readline().strip()
            if line and not line.startswith("#"):
                break
    assert len(line.split()) >= 4 and [float(word) for word in line.split()[:4]]
    table = np.atleast_1d(np.genfromtxt(path, usecols=(0, 1, 2, 3), dtype=float))
    names = [line.split(None, 4)[4].strip() for line in path.read_text().splitlines()]
    return {
        int(row[0]): (name, tuple(255 * row[1:]), ())
        for row, name in zip(table, names, strict=True)
    }


def read_blanks(path):
    """As `read_fscolorlut.m` and `vtkMRMLColorTableStorageNode`: words between blanks."""
    labels = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            index, name, *colour = line.split()
            red, green, blue, alpha = map(float, colour)
            labels[int(index)] = (name.replace("_", " "), (red, green, blue), (alpha,))
    return labels


READERS = {
    "_itksnap.txt": (read_itksnap, (0, 0, 0), (1, 1, 1)),
    "_fsleyes.lut": (read_fsleyes, (), ()),
    "_freesurfer.txt": (read_blanks, (0,), (0,)),
    "_slicer.ctbl": (read_blanks, (0,), (255,)),
}
"""By ending: the reader, and what it finds behind the colour of the background, of a label."""


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("ending", PROGRAMS)
def test_each_program_reads_numbers_names_and_colours(tmp_path, ending, kind):
    labels = LISTS[kind]
    written = write_label_tables(tmp_path / "labels", "volume", labels)
    path = tmp_path / "labels" / f"volume{ending}"
    assert path in written
    read, hidden, shown = READERS[ending]
    found = read(path)
    assert found.pop(0) == ("background", (0, 0, 0), hidden)
    assert sorted(found) == [label.number for label in labels]
    for label in labels:
        name, colour, more = found[label.number]
        assert name.replace("'", '"') == label.name
        np.testing.assert_allclose(colour, label.colour, atol=0.01)  # FSLeyes: five decimals
        assert more == shown


def test_a_volume_without_labels_has_no_table(tmp_path):
    assert write_label_tables(tmp_path / "labels", "lesions", lesion_labels(0)) == []
    assert not (tmp_path / "labels").exists()


def test_lesions_that_follow_one_another_do_not_look_alike():
    colours = np.array([label.colour for label in lesion_labels(200)], float)
    assert np.linalg.norm(np.diff(colours, axis=0), axis=1).min() > 150
