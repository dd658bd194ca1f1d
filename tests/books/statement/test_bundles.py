"""Bundles: lines that are alike, divided together, give to the picounit what each of them gives."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from inferworks.books.accounting.basis import Basis
from inferworks.books.accounting.entries import Entry
from inferworks.books.accounting.policy import Policy, load_policy
from inferworks.books.allocation.departments import read_departments
from inferworks.books.allocation.pools import CostPool, DriverKind, Idle, When
from inferworks.books.amounts import LARGEST, Amounts
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.charge import Charge, ChargeId
from inferworks.books.lines import Lines
from inferworks.books.statement.bundles import Bundle, Things, in_bundles
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.errors import BooksError, MoneyError
from inferworks.money import split
from inferworks.testing.books import World, a_charge, a_company, spans, worlds

GAAP, RULES = load_policy("gaap"), shipped_rules()
DEPARTMENTS = read_departments(["growth=marketing"], ["team"])
HALL = CostPool(
    "hall", DriverKind.POOLS, When(service_category=("Web",)), to=("machines", "storage")
)
LATER = [
    ("ChargeFrequency", "One-Time"),
    ("ListCost", "3.10"),
    ("SkuId", "SKU1"),
    ("Tags", '{"team":"growth","quote":"[\\"PricingCategory\\",\\"Committed\\"]"}'),
    ("PricingCategory", "Standard"),
    ("CommitmentDiscountId", "plan-1"),
    ("CommitmentDiscountStatus", "Unused"),
    ("x_UsageType", "Claude-output-tokens"),
    ("x_TaxName", "VAT"),
]


class Held(Lines):
    """Lines that are read from memory."""

    def __init__(self, charges: Iterable[Charge]) -> None:
        super().__init__()
        self._bodies = [msgspec.json.encode(one) for one in sorted(charges, key=lambda one: one.id)]

    def __len__(self) -> int:
        return len(self._bodies)

    def bodies(self) -> Iterator[bytes]:
        """Each as its JSON."""
        return iter(self._bodies)


def bundled(charges: Sequence[Charge], world: World, span: Span, rules: Rules) -> list[Charge]:
    """`charges` in bundles where they can be."""
    return list(in_bundles(Held(charges), rules, span, Things.of(world.facts)))


def worked(
    charges: Sequence[Charge], world: World, span: Span, rules: Rules, policy: Policy = GAAP
) -> Computation:
    """The validated computation of `charges`, or the refusal of them."""
    done = compute(Inputs(charges, world.facts, world.plans, policy, "USD", span, rules))
    validate(done)
    return done


def figures(computation: Computation) -> Statement:
    """The statement without what tells lines apart."""
    return replace(build_statement(computation), entries=(), backed=(), alike=UNSET)


def by_day(entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """Amounts booked, by account and day."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        for side in entry.postings:
            sums[side.account, utc_day(entry.at_ns - 1)] += side.amount_pico
    return {key: pico for key, pico in sorted(sums.items()) if pico}


def must_agree(
    lines: Sequence[Charge], world: World, span: Span, rules: Rules = RULES, policy: Policy = GAAP
) -> list[Charge]:
    """The bundles of `lines` give the statement, and what is booked on each day, that `lines` give."""
    bundles = bundled(lines, world, span, rules)
    one, other = (
        worked(lines, world, span, rules, policy),
        worked(bundles, world, span, rules, policy),
    )
    assert figures(one) == figures(other)
    assert by_day(one.entries) == by_day(other.entries)
    drawn = build_statement(other)
    assert sum(dict(drawn.alike or ()).values()) + sum(
        charge.lines == 1 for charge in other.charges
    ) == len(one.charges)
    for line, parts in ((backed.line, backed.parts) for backed in drawn.backed):
        assert sum(part.amount_pico for part in parts) == line.amount_pico
    return bundles


def many(charges: Sequence[Charge], seed: int) -> list[Charge]:
    """Each of `charges` several times, with other amounts and whatever else bills write."""
    dice = random.Random(seed)
    made = []
    for charge in charges:
        for number in range(dice.randint(1, 4)):
            other = tuple(sorted(dice.sample(LATER, dice.randint(0, 5))))
            amount = charge.amount_pico + dice.randint(-1_000, 1_000) * 10 ** dice.randint(0, 12)
            effective = dice.choice([None, 0, amount // 3])
            made.append(
                replace(
                    charge,
                    id=ChargeId(f"{charge.id}-{number}"),
                    amount_pico=amount,
                    effective_pico=effective,
                    charge_category=dice.choice(["Usage"] * 4 + ["Tax", "Purchase", "Credit"]),
                    row=number,
                    invoice=f"invoice {number}",
                    other=other,
                )
            )
    return made


@pytest.mark.slow
@given(worlds(), spans(), st.integers(0, 9_999))
@settings(max_examples=20)
def test_random_lines_in_bundles_give_what_they_give_alone(
    world: World, span: tuple[int, int], seed: int
) -> None:
    """Of every pool, on both bases, with taxes that come back, tags and all idle methods."""
    rules = replace(RULES, departments=DEPARTMENTS, recoverable_taxes=("VAT",) if seed % 2 else ())
    idle = [Idle.SEPARATE, Idle.PROPORTIONAL, Idle.PEAK][seed % 3]
    pools = tuple(
        replace(pool, idle=idle) if pool.name == "machines" else pool for pool in rules.pools
    )
    policy = GAAP if seed % 5 else replace(GAAP, basis=Basis.CASH)
    rules = replace(rules, pools=pools)
    must_agree(many(world.charges, seed), world, Span(*span), rules, policy)


def test_what_steps_down_follows_the_same_positive_lines() -> None:
    """A pool that supports others goes by their positive lines, so credits are in bundles of their own."""
    world = a_company()
    rules = replace(RULES, pools=(HALL, *RULES.pools))
    lines = many(world.charges, 3)
    lines += [
        replace(line, id=ChargeId(f"-{line.id}"), amount_pico=-line.amount_pico // 7)
        for line in lines
    ]
    must_agree(lines, world, Span(0, 1_000), rules)


def test_alike_lines_are_one_charge_and_others_stay_single() -> None:
    """A bundle holds what was compared and nothing else; staff and what an edge cuts stay as they are."""
    world, inside = a_company(), (0, 1_000)
    alike = [
        replace(a_charge(f"db-{n}", f"0.{n + 1}", inside, category="Databases"), row=n)
        for n in range(9)
    ]
    shift, cut = world.charges[3], a_charge("over the edge", "1.00", (900, 1_100))
    found = bundled([*alike, shift, cut], world, Span(*inside), RULES)
    assert [charge for charge in found if charge.lines == 1] == [shift, cut]
    [bundle] = [charge for charge in found if isinstance(charge, Bundle)]
    assert (len(bundle.members), bundle.amount_pico) == (9, sum(c.amount_pico for c in alike))
    first = min(charge.id for charge in alike)
    assert (bundle.id, bundle.description, bundle.resource_id) == (first, "", None)
    must_agree([*alike, shift, cut], world, Span(*inside))


def test_a_line_too_large_for_64_bits_stays_single() -> None:
    """Nine million dollars in one line are rare, and still exact."""
    world = a_company()
    lines = [
        replace(charge, id=ChargeId(f"{charge.id}-{n}"), amount_pico=LARGEST + n)
        for charge in world.charges
        for n in range(2)
    ]
    assert not any(c.lines > 1 for c in must_agree(lines, world, Span(0, 1_000)))


def test_a_department_that_is_not_known_is_refused_as_of_a_single_line() -> None:
    """The refusal names the line."""
    charge = replace(a_charge("db", "1.00", (0, 9), category="Databases"), department="lobby")
    with pytest.raises(BooksError, match=r"bill\.csv, line 2: there is no department 'lobby'"):
        bundled([charge], a_company(), Span(0, 9), RULES)


@given(
    st.lists(st.integers(-LARGEST + 1, LARGEST - 1) | st.integers(-99, 99), min_size=1, max_size=5),
    st.lists(st.integers(0, 2**70) | st.integers(0, 9), min_size=1, max_size=6),
)
def test_amounts_are_split_as_each_of_them_is(amounts: list[int], weights: list[int]) -> None:
    """Largest remainder, ties by key, negative or near the bounds: the parts of `money.split`."""
    weighed = dict(enumerate(weights))
    if not any(weights):
        with pytest.raises(MoneyError):
            Amounts(amounts).split(weighed)
        return
    parts = [split(amount, weighed) for amount in amounts]
    found = Amounts(amounts).split(weighed)
    assert {key: int(part) for key, part in found.items()} == {
        key: sum(part[key] for part in parts) for key in weighed
    }
    for at, amount in enumerate(amounts):
        alone = Amounts([amount]).split(weighed)
        assert {key: int(part) for key, part in alone.items()} == parts[at]
