"""Modules that are imported when the first of their names is asked for.

    if TYPE_CHECKING:
        import numpy as np
    else:
        np = OnDemand("numpy")

A large library takes a tenth of a second or more to load, and most commands that might use one do not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any


class OnDemand(ModuleType):
    """Stand-in for the module of that name, which `load` imports at the first use of one of its names."""

    def __init__(
        self, name: str, load: Callable[[str], ModuleType] = importlib.import_module
    ) -> None:
        super().__init__(name)
        self.__dict__["_load"] = load

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by tools that only look; no module needs to be loaded
            raise AttributeError(name)
        module = self.__dict__["_load"](self.__name__)
        self.__dict__.update(vars(module))  # from now on as quick as the module itself
        return getattr(module, name)
