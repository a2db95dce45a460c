"""Stage 4, SCORE: from scan and pseudo-healthy image to a score, a mask and a lesion table."""
