"""Stage 1, READ: a file, a DICOM folder or an image in memory becomes a `Scan`; results go back.

- `read`: dispatches to the readers below and joins what they say into a `Scan`.
- `nifti`: opens scan files without trusting them: the size promised by the header comes first.
- `stream`, `pair`: unpacks gzip; finds the other half of a scan in two files.
- `nifti_header`, `analyze`, `freesurfer`: what each format says, put right where it can be.
- `stored_image`: what a file holds before it is interpreted.
- `wraparound`: unsigned voxels that were stored as signed ones.
- `sidecar`: the JSON file beside a scan, and the modality that it names.
- `dicom`: converts a folder with dcm2niix in a temporary folder.
- `fetched`: tells files whose content git-annex or git-lfs keeps elsewhere.
- `series`: chooses the best structural series of a folder and says why the others lost.
- `grid`, `forms`: finds the affine in a header (sform, qform, units), judges voxel size and extent.
- `intensities`, `missing_voxels`: voxels to finite float32; refuses masks, label maps, CT and empty
  images.
- `sequence_hint`: T1w, T2w or FLAIR from a name or from TR, TE and TI.
- `write`: volumes and result folders, each whole or not at all.
"""
