"""Each of the theorems of docs/books.md has a test that names it, and a check at run time.

| theorem | property tests, beside others | at run time |
|---|---|---|
| 1 Exact | test_money, test_rating | `invariants.exact`; worlds: every_call_earns_once |
| 2 Split | test_money, test_invariants | `invariants.divided` |
| 3 Once | here, test_store, meter/test_activity | `invariants.once`; worlds: nothing_lost_or_doubled |
| 4 Bucket | test_token_buckets | `invariants.bucket` |
| 5 Time | test_invariants | `invariants.time` |
| 6 Step | test_invariants, test_step_time | `invariants.step` |
| 7 Conservation | test_invariants | `invariants.conservation`; worlds: every_charge_is_billed_once |
| 8 Hierarchy | test_invariants | `invariants.hierarchy` |
| 9 Two labels | test_invariants | `invariants.two_labels` |
| 10 Balance | test_invariants | `invariants.balance` |
| 11 Views agree | here, test_views | `invariants.views_agree` |
| 12 Closed is closed | test_close, test_prior_period | worlds: closed_stays_closed and more; `audit` |
| 13 Again | test_invariants, test_seal | worlds: in_any_order; `audit` draws every close up again |
| 14 Provenance | test_rating | `invariants.provenance`; worlds: every_call_earns_once |
| 15 Fair | test_invariants | worlds: alike_costs_alike |
| 16 Delivery | deliveries/test_landing | `deliveries.validate.delivery`; worlds |
| 17 Footing | deliveries/test_landing | `deliveries.validate.footing`; worlds |
| 18 Basis | test_basis, test_expected_bills | `invariants.basis`; worlds: billed_becomes_cost |
| 19 Month | exports/test_month | `invariants.month` |
| 20 Cause | test_causes | `invariants.cause_by_cause`, whenever a change is explained |

The worlds (`tests.support.worlds`) run all of `VALIDATIONS` after every event, too.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.worlds import CHECKS, SEAL_CHECKS

from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.deliveries import validate as deliveries
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.invariants import VALIDATIONS, cause_by_cause
from inferworks.books.statement.statement import close_span, whole_span
from inferworks.meter.activity import sort_out
from inferworks.meter.capacity import Activity
from inferworks.meter.events import name_of
from inferworks.meter.stores.stub import MemoryStore
from inferworks.testing.books import World, an_activity, worlds

TESTS = Path(__file__).parent.parent
NAMED = re.compile(r"[Tt]heorems? ((?:\d+(?:, | and )?)+)")


def theorems_in(text: str | None) -> set[int]:
    """The numbers of the theorems that `text` names."""
    return {int(n) for numbers in NAMED.findall(text or "") for n in re.findall(r"\d+", numbers)}


def named_by_tests() -> dict[int, set[str]]:
    """Tests whose docstrings name a theorem, by theorem."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for number in theorems_in(ast.get_docstring(node)):
                    found[number].add(f"{path.name}: {node.name}")
    return found


@pytest.mark.slow
def test_every_theorem_has_a_test() -> None:
    """At least one test says in its docstring that it is about this theorem."""
    assert named_by_tests().keys() >= set(range(1, 21))


def test_every_theorem_has_a_check_at_run_time() -> None:
    """`VALIDATIONS` on every statement, on two of them, the worlds after every event: all of them."""
    checks = (*VALIDATIONS, *deliveries.VALIDATIONS, cause_by_cause)
    checked = set().union(*(theorems_in(check.__doc__) for check in checks))
    for numbers, _ in (*CHECKS, *SEAL_CHECKS):
        checked |= set(numbers)
    assert checked == set(range(1, 21))


def test_the_table_names_every_theorem() -> None:
    """The table above has a row for each, in order."""
    rows = re.findall(r"^\| (\d+) ", __doc__ or "", re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 21))


def an_event(name: int, quantity: int) -> Activity:
    """The activity called `name`, saying `quantity`."""
    return an_activity(f"run-{name}", "node-1", (0, 10), quantity)


events = st.builds(an_event, st.integers(0, 6), st.integers(0, 1))


@pytest.mark.slow
@given(st.lists(st.lists(events, max_size=6), max_size=6))
def test_an_event_counts_once_however_often_it_is_sent(batches: list[list[Activity]]) -> None:
    """Theorem 3: the first body of a name is kept for ever, every other one quarantined with it."""
    store, first, fates = MemoryStore(), dict[str, Activity](), [0, 0, 0]
    for batch in batches:
        for event in batch:
            first.setdefault(event.id, event)
        with store.reads() as reads:
            found = sort_out(reads.known_activities(map(name_of, batch)), batch)
        store.write((*found.accepted, *found.conflicts))
        fates = [fate + len(kind) for fate, kind in zip(fates, found, strict=True)]
        for conflict in found.conflicts:
            assert (
                msgspec.json.decode(conflict.existing or "", type=Activity) == first[conflict.key]
            )
            assert msgspec.json.decode(conflict.body, type=Activity) != first[conflict.key]
    with store.reads() as reads:
        assert {a.id: a for a in reads.activities(0, 100)} == first
    assert sum(fates) == sum(map(len, batches))
    assert fates[0] == len(first)


@pytest.mark.slow
@given(worlds())
@settings(max_examples=40)
def test_the_views_take_one_amount_apart(world: World) -> None:
    """Theorem 11: fully loaded is the sum of all functions; marginal + committed + unused is gaap's."""
    span = whole_span(world.charges, world.facts)
    gaap, marginal, full = (
        close_span(
            Inputs(world.charges, world.facts, world.plans, load_policy(name), "USD", Span(*span))
        )
        for name in ("gaap", "marginal", "full")
    )
    billed_pico = sum(charge.amount_pico for charge in world.charges)
    for view in (gaap, marginal, full):
        assert sum(map(view.function_pico, Function)) == view.allocated_pico == billed_pico
    assert gaap.cost_of_revenue_pico == sum(map(marginal.function_pico, COST_OF_REVENUE))
    for function in set(Function) - set(COST_OF_REVENUE):
        assert gaap.function_pico(function) == marginal.function_pico(function)
