"""Stage 1, READ: a file, a DICOM folder or an image in memory becomes a `Scan`; results go back.

- `read`: dispatches to the readers below and joins what they say into a `Scan`.
- `nifti`: opens NIfTI and MGZ without trusting them: the size promised by the header comes first.
- `dicom`: converts a folder with dcm2niix in a temporary folder.
- `fetched`: tells files whose content git-annex or git-lfs keeps elsewhere.
- `series`: chooses the best structural series of a folder and says why the others lost.
- `grid`: finds the affine in a header (sform, qform, units) and judges voxel size and extent.
- `intensities`: voxels to finite float32; refuses masks, label maps, CT and empty images.
- `sequence_hint`: T1w, T2w or FLAIR from a name or from TR, TE and TI.
- `write`: volumes and result folders, each whole or not at all.
"""
