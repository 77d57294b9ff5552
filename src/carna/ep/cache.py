"""Where compiled kernels and measured tables are kept between sessions."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from carna.errors import InputError

__all__ = ["cache_folder"]


def cache_folder(what: str) -> Path:
    """Return a folder of the user's cache, or a temporary one where that can't be written.

    Parameters
    ----------
    what
        The folder's name, such as ``kernels``; it is made if need be.

    Raises
    ------
    InputError
        If neither can be written.
    """
    from numba.misc.appdirs import AppDirs

    for folder in (Path(AppDirs("carna", False).user_cache_dir), Path(tempfile.gettempdir()) / "carna"):
        try:
            (folder / what).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder / what, os.W_OK):
            return folder / what
    raise InputError(
        "no cache folder can be written", needed="write access to ~/.cache or the temporary folder"
    )
