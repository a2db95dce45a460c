"""Experiments on the method's claims: one module each, `run` measures and `draw` shows.

`catalogue` lists them. Their brains are drawn on the working grid (`drawn_brains`), so that what
they measure is the networks, not the preparation, and the truth is known to the voxel.
"""
