"""Inputs of a close: sealed row by row or by reference, and read again as they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.closed_books import FIRST_PERIOD, SECOND, Recorded, closed

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.basis import Basis
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.closing.inputs import (
    CHARGES,
    INPUTS,
    OWN,
    POLICY,
    PREPAID,
    RULES,
    SEGMENTS,
    Arrived,
    all_facts,
    inputs_of,
    prefix_of,
    reference_statement,
    sealed_bodies,
    sealed_inputs_of,
    seen_by,
    without_a_lake,
)
from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.closing.seal import Body
from inferworks.books.lines import NAMES, Lines, name_of
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.record import Retracted
from inferworks.testing.books import a_charge, a_step, a_usage, an_activity, an_interval

SEGMENT = Segment("usage/a", "usage", "1970-01-01", 1, 9, "0" * 64, 0, 1, ("a",), ("a",), "own")
NO_FACTS = Facts((), (), (), ())


class Held(Lines):
    """Lines that would be read, in the order of their ids."""

    def __init__(self, *charges: Charge) -> None:
        super().__init__()
        self._bodies = sorted(map(msgspec.json.encode, charges))

    def __len__(self) -> int:
        return len(self._bodies)

    def bodies(self) -> Any:
        """Yield each line as its JSON."""
        return iter(self._bodies)


def names(bodies: Sequence[Any]) -> list[str]:
    """Names of parts."""
    return [body.part.name for body in bodies]


def test_segments_need_a_lake() -> None:
    """Without any of them there is nothing to read."""
    assert without_a_lake((), Span(0, 10)) == NO_FACTS
    with pytest.raises(BooksError) as refused:
        without_a_lake((SEGMENT, SEGMENT), Span(0, 10))
    assert str(refused.value) == (
        "2 segments are needed for 1970-01-01 and after, from a lake that was not given: usage/a, ..."
    )


def test_all_facts_are_those_at_hand_and_those_in_segments() -> None:
    """The segments are read with the span that they are needed for."""
    asked: list[tuple[Sequence[Segment], Span]] = []
    sealed, loose = a_usage("sealed"), a_usage("loose", opened_ns=1)

    def read(segments: Sequence[Segment], span: Span) -> Facts:
        asked.append((segments, span))
        return Facts((sealed,), (), (), ())

    inputs = replace(
        Recorded().inputs(Span(0, 100)), facts=Facts((loose,), (), (), ()), segments=(SEGMENT,)
    )
    assert {usage.call_id for usage in all_facts(inputs, read).usages} == {"sealed", "loose"}
    assert asked == [((SEGMENT,), Span(0, 100))]
    assert reference_statement(inputs, read).billed_pico == 10**12
    with pytest.raises(BooksError, match="1 segments are needed"):
        reference_statement(inputs)


@pytest.mark.parametrize(
    ("part", "one", "key"),
    [
        ("inputs/charges", a_charge("x", "1", (0, 1), id="chg_1"), ("chg_1",)),
        ("inputs/usages", a_usage("call-1"), ("call-1",)),
        ("inputs/steps", a_step(7, 5, 1, []), ("replica-1", 5, 7)),
        ("inputs/capacity", an_interval((3, 9), {State.IDLE: 6})[0], ("replica-1", 3, "idle")),
        ("inputs/activities", an_activity("run", "node-1", (0, 9), 9), ("test", "run")),
        ("inputs/retracted", Retracted("s", "i", 0, 1, 2, "ann", "why"), ("s", "i")),
        (
            "inputs/plans",
            PricePlan.per_million(CustomerId("acme"), 5, "USD", "1", "1"),
            ("acme", 5),
        ),
    ],
)
def test_every_input_has_a_name_for_ever(part: str, one: Any, key: tuple[object, ...]) -> None:
    """By which a late one is told from one that was sealed."""
    [kind] = [kind for kind in INPUTS if kind.part == part]
    assert kind.key(one) == key
    assert isinstance(one, kind.kind)


def test_rows_are_found_by_the_part_that_they_are_sealed_as() -> None:
    """Charges and plans beside the facts; of arrived records there are no plans."""
    inputs = Recorded().inputs(Span(0, 100))
    assert list(inputs_of(inputs, CHARGES)) == list(inputs.charges)
    assert list(inputs_of(inputs, "inputs/plans")) == list(inputs.plans)
    assert inputs_of(inputs, "inputs/steps") is inputs.facts.steps
    arrived = Arrived(inputs.charges, inputs.facts)
    assert inputs_of(arrived, "inputs/usages") is inputs.facts.usages
    assert inputs_of(arrived, CHARGES) is inputs.charges


def test_everything_is_sealed_in_a_part_of_its_own() -> None:
    """Under the prefix of a period that is restated."""
    inputs = Recorded().inputs(Span(0, 100))
    statement = reference_statement(inputs)
    plain = [*(kind.part for kind in INPUTS), SEGMENTS, POLICY, RULES, PREPAID, OWN]
    assert names(sealed_bodies("", inputs, statement)) == plain
    prefix = prefix_of(FIRST_PERIOD)
    assert prefix == "corrects/p0/"
    assert names(sealed_bodies(prefix, inputs, statement)) == [prefix + name for name in plain]


def test_the_order_of_inputs_leaves_no_trace_in_a_seal() -> None:
    """The same hashes for the same facts."""
    source = Recorded()
    source.charges.append(a_charge("b", "2", (0, 100)))
    inputs = source.inputs(Span(0, 100))
    turned = replace(
        inputs,
        charges=inputs.charges[::-1],
        facts=replace(inputs.facts, usages=inputs.facts.usages[::-1]),
    )
    statement = reference_statement(inputs)
    one, other = (sealed_bodies("", some, statement) for some in (inputs, turned))
    assert [body.part for body in one] == [body.part for body in other]


def test_lines_that_are_not_held_are_sealed_with_their_names_apart() -> None:
    """The same rows as of lines that are held, and beside them a part to look them up."""
    charges = [a_charge(name, "1", (0, 100)) for name in ("a", "b", "c")]
    inputs = replace(Recorded().inputs(Span(0, 100)), charges=tuple(charges))
    statement = reference_statement(inputs)
    held = {body.part.name: body for body in sealed_bodies("", inputs, statement)}
    lines = sealed_bodies("", replace(inputs, charges=Held(*charges)), statement)
    assert names(lines)[:2] == [CHARGES, CHARGES + NAMES]
    assert lines[0].part == held[CHARGES].part
    assert lines[1].part.rows == 3
    body = held[CHARGES]
    assert isinstance(body, Body)
    assert sorted(map(name_of, body.raw.splitlines())) == sorted(
        f'"{charge.id}"'.encode() for charge in charges
    )


def test_sealed_inputs_are_read_again_as_they_were(ledger: Ledger) -> None:
    """Charges, facts, plans, policy and rules; what was recorded since is no part of them."""
    source = Recorded()
    before = source.inputs(FIRST_PERIOD.span)
    closed(ledger, source, FIRST_PERIOD)
    source.charges.append(a_charge("late", "5", (0, 100)))
    [close] = standing(ledger.records())
    found = sealed_inputs_of(ledger, close)
    assert (found.span, found.currency, found.segments) == (Span(0, 100), "USD", ())
    assert found.charges == tuple(before.charges)
    assert set(found.facts.usages) == set(before.facts.usages)
    assert found.facts.steps == before.facts.steps
    assert set(found.facts.capacity) == set(before.facts.capacity)
    assert list(found.plans) == before.plans
    assert (found.policy, found.rules.pools) == (before.policy, before.rules.pools)
    assert reference_statement(found) == reference_statement(before)


def test_inputs_that_a_later_close_restated_are_read_by_its_prefix(ledger: Ledger) -> None:
    """With the span of the earlier period."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.charges.append(a_charge("late", "5", (0, 100)))
    closed(ledger, source, SECOND)
    close = standing(ledger.records())[-1]
    assert close.corrects == (FIRST_PERIOD,)
    found = sealed_inputs_of(ledger, close, prefix_of(FIRST_PERIOD))
    assert found.span == FIRST_PERIOD.span
    assert sorted(charge.line for charge in found.charges) == ["gpu", "late"]
    assert sealed_inputs_of(ledger, close).span == SECOND.span


def test_another_policy_sees_sealed_inputs_on_the_basis_that_they_were_sealed_on() -> None:
    """Their costs are of that time; all else is the other policy's."""
    inputs = Recorded().inputs(Span(0, 100))
    cash = replace(load_policy("full"), basis=Basis.CASH)
    seen = seen_by(inputs, cash)
    assert (seen.policy.name, seen.policy.basis) == ("full", Basis.ACCRUAL)
    assert replace(seen, policy=inputs.policy) == inputs
