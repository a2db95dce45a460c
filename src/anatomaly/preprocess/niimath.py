"""The one door to niimath, the command-line tool that corrects bias fields and registers.

niimath (PyPI wheel, BSD-2) is called as a program on files in a temporary folder of its own, with
a time limit and a number of threads, and every failure of it becomes a `PreparationError`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.errors import PreparationError
from anatomaly.preprocess.references import usable_threads
from anatomaly.systems import program_path
from anatomaly.types import FloatArray
from anatomaly.volume import Volume

TIMEOUT_SECONDS = 600.0
"""Far above the few seconds a step takes: it only ends a run that hangs."""


def run_niimath(
    arguments: list[str], folder: Path, timeout_seconds: float = TIMEOUT_SECONDS
) -> None:
    """Run niimath in `folder`; outputs are plain `.nii`.

    Args:
        arguments: what follows the program's name.
        folder: working folder, where relative names of files lie.
        timeout_seconds: after this long the run is ended.

    Raises:
        PreparationError: niimath is not installed, failed, or took too long.
    """
    try:
        import niimath
    except ImportError as error:
        raise PreparationError("niimath is not installed; run: pip install niimath") from error
    environment = os.environ | {"FSLOUTPUTTYPE": "NIFTI", "OMP_NUM_THREADS": str(usable_threads())}
    command = [program_path(niimath.bin), *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PreparationError(
            f"niimath {arguments[1]} did not finish within {timeout_seconds:.0f} s; "
            "is the machine overloaded?"
        ) from error
    except OSError as error:
        raise PreparationError(f"niimath cannot be started ({error}); reinstall it") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PreparationError(
            f"niimath {arguments[1]} ended with status {done.returncode}: "
            f"{said[-1] if said else 'no message'}"
        )


def write_nifti(path: Path, volume: Volume) -> None:
    """Write a volume for niimath: float32, or uint8 for a mask.

    Raises:
        PreparationError: the temporary folder cannot be written (full disk?).
    """
    import nibabel as nib

    dtype = np.uint8 if volume.data.dtype == np.bool_ else np.float32
    try:
        nib.save(nib.Nifti1Image(volume.data.astype(dtype), volume.affine), path)
    except OSError as error:
        raise PreparationError(
            f"the temporary folder {path.parent} cannot be written ({error}); free some space, or "
            "set TMPDIR to another folder"
        ) from error


def read_nifti(path: Path) -> FloatArray:
    """Read what niimath wrote, (I, J, K) float32.

    Raises:
        PreparationError: the file is not there, or not whole.
    """
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        # not mapped: Windows removes no folder that holds an open file, and this is a head
        image: Any = nib.load(path, mmap=False)
        data: FloatArray = image.get_fdata(dtype=np.float32)
    except FileNotFoundError as error:
        raise PreparationError(f"niimath did not write {path.name}") from error
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise PreparationError(
            f"niimath wrote a part of {path.name} alone; is the temporary folder "
            f"{path.parent.parent} full? Free some space there, or set TMPDIR to another folder"
        ) from error
    return data
