"""A sheet of PDF as a DICOM document (Encapsulated PDF, PS3.3 A.45.1) of the study of the scan."""

from __future__ import annotations

from highdicom.base import SOPClass
from highdicom.sr.coding import CodedConcept
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from anatomaly.dicom_results.description import RESEARCH_ONLY, Description, own_code
from anatomaly.dicom_results.source import SourceFrames

TITLE = f"anatomaly summary - {RESEARCH_ONLY}"


def make_encapsulated_pdf(source: SourceFrames, pdf: bytes, description: Description) -> SOPClass:
    """Return the document.

    Args:
        source: the instances that the result was made of.
        pdf: the file, any length.
        description: what made it.
    """
    image = source.images[0]
    made = SOPClass(
        study_instance_uid=image.StudyInstanceUID,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=image.PatientID,
        patient_name=image.PatientName,
        patient_birth_date=image.PatientBirthDate,
        patient_sex=image.PatientSex,
        accession_number=image.AccessionNumber,
        study_id=image.StudyID,
        study_date=image.StudyDate,
        study_time=image.StudyTime,
        referring_physician_name=image.ReferringPhysicianName,
        specific_character_set=image.get("SpecificCharacterSet"),
        **description.common(image, "PDF", "summary"),
    )
    made.ConversionType = "WSD"
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "YES"  # the sheet prints the scan's name, which may be a person's
    made.DocumentTitle = TITLE
    kind = own_code("SUMMARY", "Summary of anomaly detection, research only")
    made.ConceptNameCodeSequence = [CodedConcept.from_code(kind)]
    made.SourceInstanceSequence = [_reference(each) for each in source.images]
    made.VerificationFlag = "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return made


def _reference(image: Dataset) -> Dataset:
    """Return which instance the document was made of."""
    said = Dataset()
    said.ReferencedSOPClassUID = image.SOPClassUID
    said.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return said
