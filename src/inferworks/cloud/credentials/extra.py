"""The vendors' own libraries, which are extras: imported when they are needed, missed in one clear line."""

from __future__ import annotations

import importlib
from types import ModuleType

from inferworks.errors import ConfigError
from inferworks.extras import install


def library(module: str, extra: str) -> ModuleType:
    """`module` of the extra `extra`; ConfigError, saying what to install, when it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        raise ConfigError(
            f"credentials of this kind need the package {missing}: {install(extra)}"
        ) from None
