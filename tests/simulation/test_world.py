"""The whole gateway under simulation: what is promised holds in two hundred lives, each of its own seed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_SEEDS = 200


def simulate(*arguments: str, of: str = "inferworks.simulation", hash_seed: int = 0) -> str:
    """Output of `python -m inferworks.simulation`, or of another; AssertionError for a broken promise.

    In a process of its own, since there the simulation stands in for the whole system.
    """
    result = subprocess.run(
        [sys.executable, "-m", of, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
    )
    assert result.returncode == 0, f"{result.stdout[-20_000:]}{result.stderr[-5000:]}"
    return result.stdout


def test_promises_hold() -> None:
    """Seeds of which each breaks no promise, and in which happens what the promises are about."""
    said = simulate(f"1-{_SEEDS}")
    (told,) = (line for line in said.splitlines() if line.startswith(f"{_SEEDS} seeds"))
    counts = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z ]+)", told)}
    for name in ("calls", "records", "kills", "losses of power", "failed operations of the disk"):
        assert counts[name] > 0, told


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Neither addresses nor hashes nor the machine's clock decide anything: the traces are equal."""
    first, second = (simulate("1-4", hash_seed=hash_seed) for hash_seed in (1, 2))
    lines = [line for line in first.splitlines() if line.startswith("seed ")]
    assert len(lines) == 4, "each seed has told its hash"
    assert len(set(lines)) == 4, "each seed is another run"
    assert lines == [line for line in second.splitlines() if line.startswith("seed ")]
