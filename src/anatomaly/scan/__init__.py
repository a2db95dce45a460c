"""Stage 1, READ: a file, a DICOM folder or an image in memory becomes a `Scan`; results go back.

- `read`: START HERE; dispatches to the readers below and joins what they say into a `Scan`.
- Files, opened without trusting them: `nifti` (the size that a header promises comes first),
  `nifti_header`, `other_formats`, `stream` (gzip), `stored_image`, `beside` (the other half of a
  pair, the JSON sidecar), `fetched` (content that git-annex or git-lfs keeps elsewhere).
- What they hold: `grid` and `forms` (which affine counts, and whether it is a head's),
  `intensities` (finite float32; refuses masks, CT and empty images), `sequence_hint`.
- DICOM: `dicom` runs dcm2niix on what `instances` reads, of one visit (`people`); `conversion`
  collects what came out, `series` chooses, `checked_series` compares each slice with the image that
  lies there (`frames`, `frame_pixels`), `rebuilt_volume` makes what dcm2niix cannot.
- BIDS: `bids` lists the scans of a data set by file names alone, `bids_left_out` says what is not
  worked on.
- Results: `write` (volumes and result folders, each whole or not at all), `overwrite` (a scan with
  some voxels replaced).
"""
