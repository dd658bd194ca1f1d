"""Modules that are imported at the first use of one of their names."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

from inferworks.on_demand import OnDemand

QUICK = """
import sys, inferworks.wiring.books, inferworks.cli.books.statement
print(*{"genai_prices", "numpy", "pyarrow", "pydantic"} & sys.modules.keys())
"""


def test_a_module_is_loaded_once_when_a_name_is_asked_for() -> None:
    """Until then it is not; afterwards its names are attributes like any other."""
    loaded: list[str] = []

    def load(name: str) -> ModuleType:
        loaded.append(name)
        return import_module(name)

    colours = OnDemand("colorsys", load)
    assert not loaded
    assert colours.rgb_to_hsv(1, 1, 1) == (0, 0, 1)
    assert colours.ONE_THIRD == 1 / 3
    assert loaded == ["colorsys"]


def test_a_name_that_the_module_lacks_is_an_error_of_its_own() -> None:
    """The message is that of the module itself."""
    with pytest.raises(AttributeError, match="'colorsys' has no attribute 'infrared'"):
        _ = OnDemand("colorsys").infrared


def test_looking_at_it_loads_nothing() -> None:
    """Tools that ask a module for its file or its wrapped object do not import it."""

    def load(name: str) -> ModuleType:
        raise AssertionError(name)

    assert not hasattr(OnDemand("colorsys", load), "__wrapped__")
    assert "colorsys" in repr(OnDemand("colorsys", load))


@pytest.mark.slow
def test_a_statement_needs_none_of_the_large_packages_to_begin() -> None:
    """Prices, arrays and columns are loaded by the commands that come to use them."""
    done = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, check=True)
    assert not done.stdout.split(), done
