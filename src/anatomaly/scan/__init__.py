"""Stage 1, READ: a file, a DICOM folder or an image in memory becomes a `Scan`; results go back.

- `read`: dispatches to the readers below and joins what they say into a `Scan`.
- `nifti`: opens scan files without trusting them: the size promised by the header comes first.
- `stream`: unpacks gzip, never more than was promised; names other packings.
- `pair`: finds the other half of a scan in two files.
- `nifti_header`, `analyze`, `freesurfer`: what each format says, put right where it can be.
- `stored_image`: what a file holds before it is interpreted.
- `wraparound`: unsigned voxels that were stored as signed ones.
- `sidecar`: the JSON file beside a scan, and the modality that it names.
- `dicom`: converts a folder, or a file's series, with dcm2niix in a temporary folder.
- `instances`: DICOM headers read by pydicom; tells DICOM files, with preamble or without.
- `people`: whose images lie in a folder, and of which visit; refuses to mix two.
- `conversion`: what goes into dcm2niix and what came out of it.
- `series_fields`: what the header of a series says of its sequence, by the names of a sidecar.
- `series`: chooses the best structural series of a folder and says why the others lost.
- `checked_series`: compares each converted slice with the image that lies there.
- `frames`: where each DICOM frame lies, and which frames make one stack.
- `frame_pixels`: the stored pixels of frames, and whether a volume holds them.
- `rebuilt_volume`: puts a volume together from frames where dcm2niix cannot.
- `fetched`: tells files whose content git-annex or git-lfs keeps elsewhere.
- `grid`: the affine that counts, its unit, and whether voxel size and extent are a head's.
- `forms`: which of sform, qform and voxel sizes of a header counts; forgets what is wrong.
- `intensities`, `missing_voxels`: voxels to finite float32; refuses masks, label maps, CT and empty
  images.
- `sequence_hint`: T1w, T2w or FLAIR from a name or from TR, TE and TI; contrast agent.
- `bids`: the structural scans of a BIDS data set, by file names alone.
- `bids_left_out`: what of a BIDS data set is not worked on, and why.
- `overwrite`: writes a scan again with some voxels replaced.
- `write`: volumes and result folders, each whole or not at all.
"""
