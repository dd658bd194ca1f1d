"""Gateways on one ledger of limits under simulation: the theorem holds in a thousand runs."""

from __future__ import annotations

import re

import pytest
from tests.simulation.test_world import simulate

pytestmark = pytest.mark.slow

_SEEDS = 1000


def test_no_limit_is_passed() -> None:
    """Seeds of which each keeps every limit, and in which happens what the theorem is about."""
    said = simulate(f"1-{_SEEDS}", of="inferworks.simulation.limits")
    told = said.splitlines()[-1]
    assert told.startswith(f"{_SEEDS} seeds of limits"), told
    counts = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z ]+)[,;]", told)}
    for name in ("calls", "refusals", "unreachable", "kills", "losses of power", "lost disks", "pauses",
                 "cuts", "forfeits", "revisions", "recalls", "windows"):  # fmt: skip
        assert counts[name] > 100, told


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Neither addresses nor hashes nor the machine's clock decide anything: the traces are equal."""
    for seed in ("3", "7"):
        first, second = (
            simulate(seed, of="inferworks.simulation.limits", hash_seed=hash_seed)
            for hash_seed in (1, 2)
        )
        digests = [re.findall(rf"seed {seed}: (\w+)", said) for said in (first, second)]
        assert digests[0], "the seed has told its hash"
        assert digests[0] == digests[1]
