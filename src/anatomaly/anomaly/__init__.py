"""Stage 4, SCORE: `ssim` → `hybrid_score` → `postprocess` → `lesions`."""
