"""Stage 6, TELL: the overview picture and the run manifest."""
