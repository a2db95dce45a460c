"""Stage 4, SCORE: `score` → `postprocess` → `lesions`."""
