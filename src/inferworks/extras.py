"""Command that installs the packages of an optional part of the program.

The packages are named, and not our own extra (`inferworks[aws]`): until this project is published under its
name, whatever an index has there is somebody else's.
"""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires


def install(extra: str) -> str:
    """Return the command that installs the packages of `extra` into the running Python."""
    try:
        all_of_them = requires("inferworks") or []
    except PackageNotFoundError:  # run from its source, not installed
        all_of_them = []
    marker = f"extra=='{extra}'"
    parts = (needed.partition(";") for needed in all_of_them)
    names = [name.strip() for name, _, when in parts if marker in _plain(when)]
    return shlex.join([sys.executable, "-m", "pip", "install", *(names or ["-e", f".[{extra}]"])])


def _plain(marker: str) -> str:
    return marker.replace('"', "'").replace(" ", "")
