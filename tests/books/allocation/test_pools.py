"""Pools: every charge is in exactly one, by the first rule that fits."""

from __future__ import annotations

import pytest

from inferworks.books.allocation.pools import Method, default_pools, pool_of, read_pools
from inferworks.errors import ConfigError
from inferworks.testing.books import a_charge, a_shift


@pytest.mark.parametrize(
    ("category", "resource", "pool"),
    [
        ("Compute", "node-1", "machines"),
        ("Compute", "elsewhere", "other"),
        ("Compute", None, "other"),
        ("Storage", "disk", "storage"),
        ("Networking", None, "web"),
        ("Web", None, "web"),
        ("AI and Machine Learning", None, "providers"),
        ("Databases", None, "other"),
    ],
)
def test_a_charge_is_in_one_pool(category: str, resource: str | None, pool: str) -> None:
    """The first rule that fits FOCUS's fields decides on the pool."""
    charge = a_charge("x", "1", (0, 1), category=category, resource=resource)
    assert pool_of(charge, default_pools(), {"node-1"}).name == pool


def test_time_sheets_are_people() -> None:
    """Time sheets are of the pool of people, whatever machine they name."""
    shift = a_shift("x", "1", (0, 1), node="node-1")
    assert pool_of(shift, default_pools(), {"node-1"}).name == "people"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "pool"),
        ("pool = []", "the last pool must have no condition"),
        ('[[pool]]\nname="a"\ndriver="none"\nwhen={known_node=true}', "the last pool must have no"),
        ('[[pool]]\nname="a"\ndriver="none"\n[[pool]]\nname="a"\ndriver="none"', "same name"),
        ('[[pool]]\nname="a"\ndriver="magic"', "magic"),
        ('[[pool]]\nname="a"\ndriver="none"\nmethod="M7"', "M7"),
        ("[[pool", "Expected"),
    ],
)
def test_pools_that_could_lose_a_charge_are_refused(text: str, reason: str) -> None:
    """Every charge must fit exactly one."""
    with pytest.raises(ConfigError, match=reason):
        read_pools(text, "pools.toml")


def test_machines_use_step_shares() -> None:
    """M2 is the shipped method."""
    assert {pool.name: pool.method for pool in default_pools()}["machines"] is Method.STEP_SHARE
