"""Results as DICOM objects that refer to the instances a scan was converted from.

- `source`: finds the instances again and lays the scan's grid on their frames, without resampling;
  makes sure that each slice holds the pixels of the image it was paired with.
- `description`: the words, codes and equipment that the objects share.
- `images`: the lesions as a Segmentation, one segment each, and the map as a Parametric Map.
- `overlay`: the same drawn over the scan, as Secondary Capture, for viewers that show neither.
- `encapsulated_pdf`: the first screen of the page as a document.
- `measurement_report`: volume, centre and scores of each lesion as a structured report (TID 1500).
- `write`: the files of a result folder.

highdicom and pydicom are an extra (`pip install 'anatomaly[dicom]'`) and imported at first use:
`write` imports the modules that need highdicom when it has something to write.
"""
