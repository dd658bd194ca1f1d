"""The path of a call: it becomes longer only on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SPINE = Path(__file__).parents[2] / "benchmarks" / "spine.py"
MOST = {
    "whole": {"calls": 156, "functions": 126, "files": 36},
    "streamed": {"calls": 514, "functions": 176, "files": 42},
}
"""Figures that a change may reach unnoticed: a little more than those of today."""


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, int]]:
    """Figures of the benchmark, by kind of call."""
    done = subprocess.run(
        [sys.executable, SPINE, "--json"], capture_output=True, check=True, timeout=120
    )
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(MOST))
@pytest.mark.parametrize("figure", ["calls", "functions", "files"])
def test_a_call_goes_no_longer_way(
    figures: dict[str, dict[str, int]], kind: str, figure: str
) -> None:
    """A call enters no more functions of no more files; whoever adds to it knows."""
    assert 0 < figures[kind][figure] <= MOST[kind][figure]
