"""Return results to the scan's own grid: walks the trace of the preparation backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import GeometryError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.bias_field import undo_bias_field
from anatomaly.preprocess.normalise import undo_normalise
from anatomaly.preprocess.reorient import Reorientation, undo_reorient
from anatomaly.preprocess.resample import undo_resample
from anatomaly.preprocess.template import load_template
from anatomaly.preprocess.trace import Trace
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Scan, Volume


def to_native(data: NDArray[Any], trace: Trace, order: int = 1) -> Volume:
    """Bring a map or mask from the working grid onto the scan's own grid.

    Args:
        data: (160, 192, 160), working grid.
        trace: of the scan's preparation.
        order: 0 for masks and labels (keeps the dtype), 1 for maps (float32).

    Returns:
        Shape and affine of the scan; 0 outside the working grid.

    Raises:
        GeometryError: data is not on the working grid.
    """
    affine = trace.registration.scanner_to_template
    return bring_back(data, affine, trace.brain_mask_ras, trace.reorientation, order)


def bring_back(
    data: NDArray[Any],
    scanner_to_template: Affine,
    grid: Volume,
    reorientation: Reorientation,
    order: int = 1,
) -> Volume:
    """Do what `to_native` does, from the three records that it needs of a trace.

    Args:
        data: see `to_native`, as for `order`, result and errors.
        scanner_to_template: (4, 4), scanner mm to template mm.
        grid: the scan's, turned to RAS+; only its shape and affine are used.
        reorientation: that turned it.
        order: see `to_native`.
    """
    if data.shape != TEMPLATE_SHAPE:
        raise GeometryError(f"expected the working grid {TEMPLATE_SHAPE}, found {data.shape}")
    template = Volume(data, TEMPLATE_AFFINE.copy())
    return undo_reorient(undo_resample(template, grid, scanner_to_template, order), reorientation)


def pseudo_healthy_to_native(data: FloatArray, trace: Trace, scan: Scan) -> Volume:
    """Bring the pseudo-healthy image onto the scan's grid, in the scan's own intensity units.

    Inside the brain mask normalisation, resampling and bias field are undone (values are averaged
    over brain voxels only, so the rim does not darken); outside it the scan itself is kept.

    Args:
        data: (160, 192, 160) in [0, 1].
        trace: of the scan's preparation.
        scan: the scan that the trace belongs to.

    Returns:
        float32, the scan's grid and units.
    """
    if scan.volume.shape != trace.scan_grid.shape:
        raise GeometryError(f"the trace belongs to another scan, of shape {trace.scan_grid.shape}")
    affine = trace.registration.scanner_to_template
    inside = trace.brain_mask_template.data.astype(np.float32)
    grid = trace.brain_mask_ras
    weighted = Volume((data * inside).astype(np.float32), TEMPLATE_AFFINE.copy())
    total = undo_resample(weighted, grid, affine)
    weight = undo_resample(weighted.with_data(inside), grid, affine)
    known = weight.data > 0.01
    mean = np.divide(total.data, weight.data, out=np.zeros_like(total.data), where=known)
    restored = undo_normalise(total.with_data(mean), trace.normalisation)
    del total, weight, mean  # hundreds of megabytes each on a fine grid
    if trace.bias_field is not None:
        restored = undo_bias_field(restored, trace.bias_field)
    replaced = undo_reorient(grid.with_data(known & grid.data), trace.reorientation)
    native = undo_reorient(restored, trace.reorientation)
    filled = np.where(replaced.data, native.data, scan.volume.data.astype(np.float32, copy=False))
    return native.with_data(filled.astype(np.float32, copy=False))


def brain_mask_native(trace: Trace) -> Volume:
    """Return the brain mask on the scan's own grid, bool."""
    return undo_reorient(trace.brain_mask_ras, trace.reorientation)


def template_tissue_native(grid: Volume, scanner_to_template: Affine) -> Volume:
    """Lay the template's tissues over a scan, to judge the registration by.

    Args:
        grid: only its shape and affine are used.
        scanner_to_template: (4, 4), scanner mm to template mm.

    Returns:
        uint8 on the grid: 0 outside the template's brain, 1 CSF, 2 grey matter, 3 white matter,
        whichever is the most probable.
    """
    template = load_template()
    tissue = np.where(template.brain_mask.data, np.argmax(template.tissues, axis=0) + 1, 0)
    laid = template.brain_mask.with_data(tissue.astype(np.uint8))
    return undo_resample(laid, grid, scanner_to_template, order=0)
