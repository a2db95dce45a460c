"""IXI by its own names, with age and sex from the table."""

from anatomaly.evaluation.datasets.ixi import find_ixi

HEAD = '"IXI_ID","SEX_ID (1=m, 2=f)","HEIGHT","AGE"\n'


def test_names_and_table(write):
    folder = write({
        "IXI-T1/IXI002-Guys-0828-T1.nii.gz": "scan",
        "IXI-T2/IXI002-Guys-0828-T2.nii.gz": "scan",
        "IXI-T1/IXI012-HH-1211-T1.nii.gz": "scan",
        "IXI-T1/IXI099-IOP-0001-T1.nii.gz": "scan",
        "IXI-PD/IXI002-Guys-0828-PD.nii.gz": "scan",
    })  # fmt: skip
    (folder / "IXI.csv").write_text(
        HEAD + "2,2,164,35.8\n12,1,175,38.78\n12,1,175,61.2\n100,1,1,0\n,,,\n"
    )
    found = find_ixi(folder)
    rows = {(c.patient, c.sequence): c for c in found.cases}
    assert set(rows) == {("IXI002", "T1w"), ("IXI002", "T2w"), ("IXI012", "T1w"), ("IXI099", "T1w")}
    first = rows["IXI002", "T2w"]
    assert (first.age, first.sex, first.site) == (35.8, "F", "Guys")
    assert (first.label, first.reference, first.disease) == (None, "healthy", "")
    assert (rows["IXI012", "T1w"].age, rows["IXI012", "T1w"].sex) == (None, "")
    assert (rows["IXI099", "T1w"].age, rows["IXI099", "T1w"].sex) == (None, "")
    assert [(p.kind, p.where) for p in found.problems] == [("wrong", "IXI012")]


def test_without_table_and_with_doubled_people(write):
    folder = write({
        "a/IXI002-Guys-0828-T1.nii.gz": "scan", "b/IXI002-Guys-0828-T1.nii.gz": "scan",
    })  # fmt: skip
    found = find_ixi(folder)
    assert [c.scan.parent.name for c in found.cases] == ["a"]
    assert [p.kind for p in found.problems] == ["missing", "wrong"]
