"""The document: of the study, and a PDF that pypdf reads."""

import io

from pypdf import PdfReader


def test_the_document_is_of_the_study_and_holds_a_readable_pdf(result):
    data = result.dataset("report_pdf.dcm")
    assert (data.Modality, data.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    assert (data.PatientID, data.PatientName) == ("J1", "Doe^Jane")
    named = {each.ReferencedSOPInstanceUID for each in data.SourceInstanceSequence}
    assert named == set(result.case.instances)
    (study,) = {each.StudyInstanceUID for each in result.case.instances.values()}
    assert data.StudyInstanceUID == study
    assert "Research only" in data.DocumentTitle
    assert len(data.EncapsulatedDocument) % 2 == 0
    pdf = data.EncapsulatedDocument[: data.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF") and pdf.rstrip().endswith(b"%%EOF")
    (page,) = PdfReader(io.BytesIO(pdf), strict=True).pages
    text = page.extract_text()
    assert "0.2 mL in 3 places" in text and "synthetic-9" in text and "anatomaly 9.8.7" in text
