"""Synthetic training pairs: label maps and healthy scans in, many contrasts of one anatomy out."""
