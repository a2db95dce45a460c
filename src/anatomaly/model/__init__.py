"""Stage 3, REBUILD: from an image to its pseudo-healthy counterpart.

`anatomy_extractor` → `anatomy_edges` → `anatomy_restorer` → with `modality_extractor` →
`representation_combiner`; `pseudo_healthy` joins them.
"""
