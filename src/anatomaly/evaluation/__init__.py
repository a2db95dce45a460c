"""How good it is: test sets, metrics, phantoms with a planted lesion, baselines, experiments.

`datasets` finds cases, `labels` reads where their lesions are, `metrics` and its neighbours compare
found with true, `comparison` puts intervals on means and differences.
"""
