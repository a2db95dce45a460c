"""A BIDS data set in, BIDS derivatives out: names, sidecars, sessions of several sequences, tables.

`derivatives` writes what was found in one scan, `session` fuses the scans of a session, `group`
makes tables of all of it, `dataset` is the folder that holds them.
"""
