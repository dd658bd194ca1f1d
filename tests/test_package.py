"""The package as a program that is metered meets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import inferworks
from inferworks import metering
from inferworks.errors import UserError

_HEAVY = ("asyncio", "http.client", "json", "msgspec", "click")


def test_metered_is_offered_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inferworks.metered(purpose=..., node=...)`, also after its module was imported by name."""
    monkeypatch.delenv("INFERWORKS_URL", raising=False)
    assert inferworks.metered is metering.metered
    with (
        pytest.raises(UserError, match="set INFERWORKS_URL"),
        inferworks.metered(purpose="train-gradient", node="gpu-3", url="", key=""),
    ):
        raise AssertionError("the block must not run unmetered")


def test_importing_the_package_is_instant() -> None:
    """An import of the package loads nothing but itself; `metered` loads what it needs when asked for."""
    program = (
        "import sys; before = set(sys.modules); import inferworks; "
        f"print(*sorted((set(sys.modules) - before) & {set(_HEAVY)!r})); "
        "print(inferworks.metered.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["", "metered"]


def test_what_is_not_there_is_said() -> None:
    """A misspelt name is an AttributeError that names it."""
    with pytest.raises(AttributeError, match="'meterd'"):
        _ = inferworks.meterd
