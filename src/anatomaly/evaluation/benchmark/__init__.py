"""The benchmark: methods × data sets × sequences to one table, with labels closed until the end.

Read `run.py` first, then `cell.py` (one method on one data set and sequence) and `blind.py` (what
keeps labels closed). A method is a file in `evaluation/baselines`, see `method.py`.
"""
