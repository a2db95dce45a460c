"""Methods to stand beside, one file each."""
