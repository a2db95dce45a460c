"""Test sets as their providers ship them, one file each; nothing is downloaded.

A reader takes the folder and names files, without opening them; `check` opens them. To add one:
a file with a `Dataset`, a line in `catalogue`, a test on a tiny imitation of the folder.
"""
