"""Healthy controls of a scanner: thresholds that keep them quiet, and what can be found in them.

`control` measures one of them, `own_thresholds` joins them, `plant` puts lesions into them,
`detection_limit` counts which of those are found, `calibrate` runs all of it and writes weights.
"""
