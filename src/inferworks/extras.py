"""Command that installs the packages of an optional part of the program.

The packages are named, and not our own extra (`inferworks[aws]`): until this project is published under its
name, whatever an index has there is somebody else's.
"""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires
from types import ModuleType

from inferworks.errors import ExtraError


def required(module: str, extra: str, user: str) -> ModuleType:
    """Import `module`, which the extra called `extra` brings and `user` needs.

    ExtraError, saying what to install, when a package is missing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        raise ExtraError(f"{user} needs the package {missing}: {install(extra)}") from None


def is_installed(module: str) -> bool:
    """Return True if the top-level `module` is installed; it is not imported for that."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def check_installed(module: str, extra: str, user: str) -> None:
    """Raise ExtraError, as `required` does, when `module` is missing; it is not imported."""
    if not is_installed(module):
        raise ExtraError(f"{user} needs the package {module}: {install(extra)}")


def install(extra: str) -> str:
    """Return the command that installs the packages of `extra` into the running Python."""
    try:
        all_of_them = requires("inferworks") or []
    except PackageNotFoundError:  # run from its source, not installed
        all_of_them = []
    marker = f"extra=='{extra}'"
    parts = (needed.partition(";") for needed in all_of_them)
    plain = str.maketrans('"', "'", " ")
    names = [name.strip() for name, _, when in parts if marker in when.translate(plain)]
    return shlex.join([sys.executable, "-m", "pip", "install", *(names or ["-e", f".[{extra}]"])])
