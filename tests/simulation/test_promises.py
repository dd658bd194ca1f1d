"""Each promise notices the run that breaks it, and only that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from inferworks.meter.record import Quarantined
from inferworks.meter.usage import Confidence, Outcome, Tokens, Usage
from inferworks.simulation.clients import Call
from inferworks.simulation.promises import PROMISES, broken
from inferworks.simulation.upstreams import Asked
from inferworks.simulation.world import World
from inferworks.testing.facts import make_leg, make_opened, make_usage

SECOND_NS = 10**9
COST_PICO = 100 * 250_000 + 20 * 1_000_000
"""Cost of acme's call of 100 tokens in and 20 out, at the prices of the simulation."""


def a_record(**changes: Any) -> Usage:
    """The record of the one call."""
    return replace(make_usage(call_id="id-1"), **{"end_user": "call-0", **changes})


def a_call(**changes: Any) -> Call:
    """The one call, as its client saw it: it has the whole answer."""
    seen = {"sent": True, "status": 200, "call_id": "id-1", "whole": True, "cost_pico": COST_PICO}
    fields = {"label": "call-0", "customer": "acme", "stream": False, "asked_ns": 0, **seen}
    return Call(**{**fields, **changes})


def an_asked(**changes: Any) -> Asked:
    """The request that reached an upstream."""
    fields = {"at_ns": 5 * SECOND_NS, "input_tokens": 100, "output_tokens": 20, **changes}
    return Asked(upstream="up1", behaviour="answers", **fields)


def world(**changes: Any) -> World:
    """A run of one call in which all is well, but for `changes`."""
    asked = changes.pop("asked", {"call-0": [an_asked()]})
    state: dict[str, Any] = {
        "usages": [a_record()], "unclosed": [], "quarantined": [], "power_losses": [],
        "logged": [], "disk_troubles": [], "upstreams": [], "asked": lambda: asked,
        "clients": SimpleNamespace(calls=changes.pop("calls", [a_call()])),
        "gateway": SimpleNamespace(complaints=changes.pop("complaints", [])), **changes,
    }  # fmt: skip
    return cast(World, SimpleNamespace(**state))


LATE = Quarantined("openings", "key", "cut off", "body", None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"usages": [a_record(), a_record()]}, "one record per call: call-0 has 2"),
        ({"unclosed": [replace(make_opened(), end_user="x")]}, "one record per call: x is still open"),
        ({"quarantined": [replace(LATE, source="spool")]}, "one record per call: cut off key"),
        ({"quarantined": [LATE]}, "one record per call: cut off key"),
        ({"usages": [], "asked": {}}, "no answer without its record: call-0 id-1 200"),
        ({"usages": [], "calls": []}, "no work without its record: call-0 answers"),
        (
            {"usages": [a_record(tokens=Tokens(100, 21))], "calls": []},
            "tokens are those that upstreams told: call-0 ",
        ),
        (
            {"calls": [a_call(cost_pico=COST_PICO + 1)]},
            f"sums of money are equal: call-0 was told {COST_PICO + 1}, its record comes to {COST_PICO}",
        ),
        (
            {"calls": [a_call(customer="globex")]},
            "customers are apart: call-0 of globex is on record for acme",
        ),
        ({"usages": [a_record(closed_ns=1)]}, "no time is negative: call-0 answered"),
        (
            {"usages": [a_record(legs=(make_leg(started_ns=3, ended_ns=2),))]},
            "no time is negative: call-0 answered",
        ),
        ({"calls": [a_call(forgotten=True)]}, "nobody is forgotten: call-0 200"),
        ({"complaints": ["a task failed"]}, "nothing ends unseen: a task failed"),
        ({"logged": [(5, "an error")]}, "nothing ends unseen: an error"),
        (
            {"upstreams": [SimpleNamespace(bugs=[ValueError("x")])]},
            "nothing ends unseen: ValueError('x')",
        ),
    ],
)  # fmt: skip
def test_a_broken_promise_is_told(changes: dict[str, Any], told: str) -> None:
    """One line, with the promise and the call that it was broken to."""
    [line] = broken(world(**changes))
    assert line.startswith(told)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"usages": [], "calls": [], "asked": {}},
        {"quarantined": [LATE], "power_losses": [(9 * SECOND_NS, 9 * SECOND_NS)]},
        # a power failure may forget calls that were opened so shortly before
        {"usages": [], "calls": [], "power_losses": [(7 * SECOND_NS, 7 * SECOND_NS)]},
        # or since the disk failed
        {"usages": [], "calls": [], "power_losses": [(6 * SECOND_NS, 900 * SECOND_NS)]},
        # estimates need not be what an upstream told
        {"usages": [a_record(tokens=Tokens(1, 1), confidence=Confidence.ESTIMATED)], "calls": []},
        # a client without the whole answer may have no record, and is owed no cost
        {"usages": [], "asked": {}, "calls": [a_call(whole=False)]},
        {"calls": [a_call(cost_pico=None)]},
        {"calls": [a_call(forgotten=True)], "power_losses": [(1, 1)]},
        {"logged": [(5, "disk full")], "disk_troubles": [(5, 5)]},
        {"logged": [(5, "not what was written")], "power_losses": [(1, 1)]},
    ],
)
def test_a_promise_that_is_kept_is_not_told(changes: dict[str, Any]) -> None:
    """A run without calls, one of a whole call, and all that the promises except."""
    assert broken(world(**changes)) == []


@pytest.mark.parametrize(("off_s", "n_broken"), [(4.89, 1), (4.91, 0), (6.99, 0), (7.01, 1)])
def test_a_power_failure_excuses_only_what_is_near(off_s: float, n_broken: int) -> None:
    """From two seconds before it to a tenth of one after it; the call was asked at five."""
    off_ns = round(off_s * SECOND_NS)
    run = world(usages=[], calls=[], power_losses=[(off_ns, off_ns)])
    assert len(broken(run)) == n_broken


def test_a_call_that_failed_is_owed_nothing() -> None:
    """Its record comes to nothing, so a client that was told a cost was told too much."""
    failed = a_record(outcome=Outcome.FAILED)
    [line] = broken(world(usages=[failed], asked={}))
    assert line.endswith(f"was told {COST_PICO}, its record comes to 0")


def test_every_promise_is_a_sentence() -> None:
    """Each has a docstring, and a name of its own."""
    assert all(promise.__doc__ for promise in PROMISES)
    assert len({promise.__name__ for promise in PROMISES}) == len(PROMISES)
