"""Builders and generators for the books: small facts by hand, and whole random worlds.

The builders fill in what a test does not care about. `worlds()` draws nodes, replicas with states and
steps, calls (some without a Usage), activities and charges (credits among them) that keep the meter's
promises, so that every theorem of `docs/books.md` must hold of them. Needs hypothesis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from inferworks.accounts.plan import PerUnit, Price, PricePlan
from inferworks.books.allocation.departments import Department
from inferworks.books.bills.base import (
    BillFile,
    BillReader,
    bill_file,
    header_of,
    no_progress,
)
from inferworks.books.charge import (
    STAFF_ON_ACTIVITY,
    STAFF_ON_NODE,
    STAFF_TIME,
    Charge,
    NaturalClass,
    charge_id,
)
from inferworks.books.currency import RateRow, Rates, as_billed, charge_day
from inferworks.books.deliveries.canonical import numbered
from inferworks.catalog.units import PRICED_BY
from inferworks.errors import BillError
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, NodeId, OfferId, ProjectId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step, StepCall
from inferworks.meter.facts import Facts
from inferworks.meter.usage import (
    NO_ITEMS,
    NO_TOKENS,
    Confidence,
    Items,
    Leg,
    Outcome,
    Tokens,
    Usage,
)
from inferworks.money import format_pico, parse_pico
from inferworks.purpose import Purpose
from inferworks.units import Unit


def a_charge(
    name: str,
    amount: str,
    span: tuple[int, int],
    *,
    category: str = "Compute",
    resource: str | None = "node-1",
    provider: str = "a-cloud",
    **changes: Any,
) -> Charge:
    """A bill line called `name` of `amount` for the nanoseconds of `span`, with `changes` of fields."""
    charge = Charge(
        id=charge_id(provider, "invoice-1", name),
        issuer=provider,
        invoice="invoice-1",
        line=name,
        file="bill.csv",
        file_sha256="0" * 64,
        row=2,
        provider=provider,
        service_category=category,
        service_name="",
        resource_id=resource,
        resource_type=None,
        description=name,
        natural_class=NaturalClass.PURCHASED_COMPUTE,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=span[0],
        period_end_ns=span[1],
        amount_pico=parse_pico(amount),
        effective_pico=None,
        currency="USD",
        quantity=None,
        unit=None,
    )
    return msgspec.structs.replace(charge, **changes)


def a_shift(
    name: str, amount: str, span: tuple[int, int], *, node: str | None, activity: str | None = None
) -> Charge:
    """A time sheet line of ten minutes for a node, or for an activity when `node` is None."""
    return msgspec.structs.replace(
        a_charge(name, amount, span, category="Other", resource=node or activity),
        service_name=STAFF_TIME,
        resource_type=STAFF_ON_NODE if node else STAFF_ON_ACTIVITY,
        natural_class=NaturalClass.EMPLOYEE_COMPENSATION,
        quantity="10",
        unit="Minutes",
    )


def a_usage(
    call_id: str,
    *,
    customer: str = "acme",
    opened_ns: int = 0,
    sent_bytes: int = 0,
    legs: Sequence[Leg] = (),
    **changes: Any,
) -> Usage:
    """A call that moved `sent_bytes` bytes in and as many out, with `changes` of fields."""
    usage = Usage(
        call_id=CallId(call_id),
        customer=CustomerId(customer),
        project=ProjectId("default"),
        key_id=KeyId(f"key-{customer}"),
        purpose=Purpose.SERVE_PAID,
        endpoint="chat.completions",
        model=ModelId("small"),
        stream=False,
        opened_ns=opened_ns,
        first_byte_ns=None,
        closed_ns=opened_ns + 1,
        outcome=Outcome.ANSWERED,
        status=200,
        error_code=None,
        tokens=NO_TOKENS,
        confidence=Confidence.REPORTED,
        request_bytes=sent_bytes,
        response_bytes=sent_bytes,
        legs=tuple(legs),
    )
    return msgspec.structs.replace(usage, **changes)


def a_leg(
    replica: str | None, span: tuple[int, int], tokens: Tokens, *, provider: str = "own"
) -> Leg:
    """Make an answered attempt on `replica`, or at an external API when that is None."""
    return Leg(
        offer=OfferId("offer-1"),
        provider=provider,
        replica=None if replica is None else ReplicaId(replica),
        started_ns=span[0],
        first_token_ns=None,
        ended_ns=span[1],
        outcome=Outcome.ANSWERED,
        status=200,
        tokens=tokens,
        confidence=Confidence.REPORTED,
    )


def a_step(
    seq: int,
    start_ns: int,
    duration_ns: int,
    calls: Iterable[tuple[str, int, int, int]],
    *,
    replica: str = "replica-1",
) -> Step:
    """A step over `calls`, each (call id, prefill tokens, decode tokens, context tokens)."""
    parts = tuple(StepCall(CallId(call), *counts) for call, *counts in calls)
    return Step(ReplicaId(replica), seq, start_ns, duration_ns, parts)


def an_interval(
    span: tuple[int, int],
    states: dict[State, int],
    *,
    replica: str = "replica-1",
    node: str = "node-1",
) -> tuple[Capacity, ...]:
    """One interval of a replica: the rows for `states`, whose nanoseconds should sum to its length."""
    return tuple(
        Capacity(ReplicaId(replica), NodeId(node), state, *span, duration_ns)
        for state, duration_ns in states.items()
    )


def an_activity(
    name: str, resource: str, span: tuple[int, int], quantity: int, **changes: Any
) -> Activity:
    """A use of `resource` that is no call: gradient descent on a node, but for `changes` of fields."""
    purpose = Purpose.TRAIN_GRADIENT
    activity = Activity("test", name, resource, purpose, None, *span, quantity, Unit.NODE_NS)
    return msgspec.structs.replace(activity, **changes)


def check_bill_reader(reader: BillReader, good: BillFile, currency: str) -> None:
    """The promises of a bill reader, for any driver: AssertionError when one is broken.

    `good` is a file that the reader must accept, with charges in `currency`.
    """
    header = header_of(good)
    assert reader.recognises(header), f"{reader.kind} does not recognise its own header"
    assert not reader.recognises(["a", "b"]), f"{reader.kind} recognises anything"
    charges = reader.read(good, currency, no_progress)
    assert charges == reader.read(good, currency, no_progress), "read twice, read differently"
    named = numbered(reader.kind, charges)
    assert len({charge.id for charge in named}) == len(charges), "two charges share an id"
    for charge in charges:
        assert charge.currency == currency
        assert (charge.file, charge.file_sha256) == (good.name, good.sha256)
        assert charge.period_start_ns < charge.period_end_ns
    _must_refuse(reader, good, "XXX")
    # with a rate for each day, books in another currency take lines at twice the amount
    days = {(charge_day(charge).isoformat(), charge.currency) for charge in charges}
    rates = Rates(RateRow(day, paid, "XXX", "2", "a test") for day, paid in days)
    found = reader.read(good, "XXX", no_progress, rates)
    assert [as_billed(charge) for charge in found] == list(charges), "a bill's own words were lost"
    for charge, before in zip(found, charges, strict=True):
        assert (charge.currency, charge.amount_pico) == ("XXX", 2 * before.amount_pico)
    _must_refuse(reader, bill_file(good.name, (good.text + "only,two\n").encode()), currency)


def _must_refuse(reader: BillReader, bill: BillFile, currency: str) -> None:
    refusal = ""
    try:
        reader.read(bill, currency, no_progress)
    except BillError as error:
        refusal = str(error)
    assert refusal, f"{reader.kind} accepted {bill.name} in {currency}"
    assert bill.name in refusal, "a refusal names its file"


class World(NamedTuple):
    """Everything a statement is drawn from."""

    charges: tuple[Charge, ...]
    facts: Facts
    plans: tuple[PricePlan, ...]


_NODES = ("node-1", "node-2")
_CUSTOMERS = ("acme", "burns", "cyberdyne")
_CALLS = tuple(f"call-{number}" for number in range(8))
_HORIZON_NS = 2_000
_RESTS = [state for state in State if state is not State.ACTIVE]
_BOUGHT = (
    ("Compute", "node-1"),
    ("Compute", "node-2"),
    ("Compute", "node-unknown"),
    ("Storage", "corpus"),
    ("Storage", "empty"),
    ("Networking", None),
    ("AI and Machine Learning", None),
    ("Databases", "db-1"),
)
_USED = (("node-1", Unit.NODE_NS), ("node-2", Unit.NODE_NS), ("corpus", Unit.BYTE_SECONDS))
_SOLD_BESIDE = [u for u in PRICED_BY if u not in (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS)]


class Dice(Random):
    """Random numbers from a seed, in which the ends of a range come more often than all between them.

    To draw each number of a world by itself takes Hypothesis ten times as long as to check the world. So
    the number of things in a world is drawn, and can shrink; the properties of each thing come from a
    seed of its own.
    """

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return self.choice((low, high)) if self.random() < 0.2 else self.randint(low, high)

    def span(self) -> tuple[int, int]:
        """A span of at least a nanosecond."""
        start_ns = self.number(0, _HORIZON_NS)
        return start_ns, start_ns + self.number(1, _HORIZON_NS)

    def amount(self) -> str:
        """An amount to the last picounit, perhaps a credit."""
        return format_pico(self.number(-(10**14), 10**15))

    def tokens(self) -> Tokens:
        """Counts of every kind, up to 500 each way, that do not contradict themselves."""
        read, written, output = self.number(0, 200), self.number(0, 200), self.number(0, 500)
        whole = read + written + self.number(0, 100)
        heard, spoken = self.number(0, whole), self.number(0, output)
        return Tokens(
            input=whole,
            output=output,
            cache_read=read,
            reasoning=self.number(0, output),
            cache_write=written,
            cache_write_1h=self.number(0, written),
            input_audio=heard,
            input_image=self.number(0, whole - heard),
            output_audio=spoken,
            output_image=self.number(0, output - spoken),
        )


def dice() -> st.SearchStrategy[Dice]:
    """Dice of any seed."""
    return st.builds(Dice, st.integers(0, 2**64 - 1))


def token_counts() -> st.SearchStrategy[Tokens]:
    """Counts of every kind, up to 500 each way, that do not contradict themselves."""
    return dice().map(Dice.tokens)


def spans() -> st.SearchStrategy[tuple[int, int]]:
    """A span of at least a nanosecond."""
    return dice().map(Dice.span)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A random world in the nanoseconds from 0 to about 2,000, with charges of every pool."""

    def some(names: Iterable[str]) -> list[tuple[str, Dice]]:
        return [(name, Dice(seed)) for name in names if (seed := draw(_seeds))]

    replicas = [_replica_life(name, its) for name, its in some(["replica-0", *draw(_replicas)])]
    lines = (_charge(name, its) for name, its in some(draw(_names("line", 40, 6))))
    facts = Facts(
        usages=tuple(_usage(call, its) for call, its in some(_CALLS)),
        steps=tuple(step for steps, _ in replicas for step in steps),
        capacity=tuple(row for _, rows in replicas for row in rows),
        activities=tuple(
            _activity(name, its) for name, its in some(draw(_names("activity", 20, 4)))
        ),
    )
    machine = a_charge("machine", draw(dice()).amount(), (0, _HORIZON_NS))
    plans = tuple(_plan(customer, its) for customer, its in some(_CUSTOMERS) if its.number(0, 3))
    return World((machine, *lines), facts, plans)


_seeds = st.integers(0, 2**64 - 1)
_replicas = st.sampled_from([["replica-1"], [], ["replica-1", "replica-2"]])


def _names(kind: str, highest: int, most: int) -> st.SearchStrategy[list[str]]:
    """Draw up to `most` names in any order."""

    def named(its: Dice) -> list[str]:
        return [f"{kind}-{n}" for n in its.sample(range(highest + 1), its.number(0, most))]

    return dice().map(named)


def _replica_life(name: str, its: Dice) -> tuple[list[Step], list[Capacity]]:
    """A replica's intervals one after the other, each with steps inside it and its states."""
    steps: list[Step] = []
    rows: list[Capacity] = []
    node, at_ns = its.choice(["node-1", *_NODES]), its.number(0, 500)
    most_steps = 3 if its.number(0, 3) else 0
    for _ in range(its.number(1, 3)):
        start_ns, active_ns = at_ns, 0
        for _ in range(its.number(0, most_steps)):
            at_ns += its.number(0, 50)
            duration_ns = its.number(0, 200)
            calls = [
                (its.choice(_CALLS), its.number(0, 40), its.number(0, 2), its.number(0, 40))
                for _ in range(its.number(0, 4))
            ]
            steps.append(a_step(len(steps), at_ns, duration_ns, calls, replica=name))
            at_ns, active_ns = at_ns + duration_ns, active_ns + duration_ns
        at_ns += its.number(1, 300)
        spare_ns = at_ns - start_ns - active_ns
        extra_ns = its.number(0, spare_ns)
        states = {State.ACTIVE: active_ns + extra_ns, its.choice(_RESTS): spare_ns - extra_ns}
        rows += an_interval((start_ns, at_ns), states, replica=name, node=node)
    if its.number(0, 4) == 0:
        rows = rows[:-2]  # a crash: the last interval was never written, its steps were
    return steps, rows


def _usage(call_id: str, its: Dice) -> Usage:
    plain = Tokens(input=its.number(0, 500), output=its.number(0, 500))
    tokens = its.choice((plain, its.tokens()))
    usage = a_usage(
        call_id,
        customer=its.choice(_CUSTOMERS),
        purpose=its.choice([Purpose.SERVE_PAID, Purpose.SERVE_PAID, *Purpose]),
        opened_ns=its.number(0, _HORIZON_NS),
        tokens=tokens,
        outcome=its.choice([Outcome.ANSWERED, Outcome.ANSWERED, *Outcome]),
        model=its.choice(["small", "large"]),
        sent_bytes=its.number(0, 1_000),
        legs=[
            a_leg(
                replica := its.choice([None, "replica-0", "replica-1"]),
                its.span(),
                tokens,
                provider="a-cloud" if replica is None else "own",
            )
            for _ in range(its.number(0, 2))
        ],
    )
    items = its.choice((NO_ITEMS, Items(*(its.number(0, 3) for _ in range(4)))))
    return msgspec.structs.replace(usage, items=items)


def _activity(name: str, its: Dice) -> Activity:
    start_ns, end_ns = its.span()
    resource, unit = its.choice(_USED)
    return an_activity(
        name,
        resource,
        (start_ns, end_ns),
        its.number(0, 2 * (end_ns - start_ns)),
        purpose=its.choice(list(Purpose)),
        unit=unit,
        customer=its.choice([None, *_CUSTOMERS]),
    )


def _charge(name: str, its: Dice) -> Charge:
    """Make a line of a bill or a time sheet; every other one names its customer."""
    amount, span = its.amount(), its.span()
    if its.number(0, 3) == 0:
        activity = its.choice(["support", "train-gradient", "lunch"])
        node = its.choice([None, *_NODES])
        charge = a_shift(name, amount, span, node=node, activity=activity)
    else:
        category, resource = its.choice(_BOUGHT)
        natural_class = its.choice(list(NaturalClass))
        charge = a_charge(
            name, amount, span, category=category, resource=resource, natural_class=natural_class
        )
    departments = [*[None] * len(Department), *Department, "infrastructure"]
    return msgspec.structs.replace(charge, department=its.choice(departments))


def _plan(customer: str, its: Dice) -> PricePlan:
    since_ns = its.choice([0, 0, _HORIZON_NS // 2])
    prices = [f"{n // 10**6}.{n % 10**6:06d}" for n in (its.number(1, 10**8), its.number(1, 10**8))]
    plan = PricePlan.per_million(CustomerId(customer), since_ns, "USD", *prices)
    units = its.sample(_SOLD_BESIDE, its.number(0, 3))
    beside = (Price(unit, PerUnit(its.number(0, 10**6))) for unit in units)
    terms = msgspec.structs.replace(plan.terms, prices=(*plan.terms.prices, *beside))
    return msgspec.structs.replace(plan, terms=terms)


def a_company() -> World:
    """A company small enough to work out by hand, in the nanoseconds from 0 to 1,000; in USD.

    One machine for 10: a replica is on it for 800 ns (loading 100, idle 300, steps of acme 300 and of the
    lab's rollouts 100), then gradient descent for 100, then nothing. A disk for 4 holds 3 parts corpus to
    1 part files of acme. A web server for 1 moved bytes of acme, freda and the lab, 6 : 2 : 2. A repair of
    the machine for 5. A provider's tokens for 2, all of burns. Acme pays 14, burns pays 3, freda nothing.
    """
    second = (0, 1_000)
    charges = (
        a_charge("machine", "10.00", second),
        a_charge("disk", "4.00", second, category="Storage", resource="disk"),
        a_charge("web", "1.00", second, category="Web", resource="web-1"),
        a_shift("repair", "5.00", second, node="node-1"),
        a_charge(
            "tokens",
            "2.00",
            second,
            category="AI and Machine Learning",
            resource=None,
            provider="Solora AI",
        ),
    )
    plans = (
        PricePlan.per_million(CustomerId("acme"), 0, "USD", "8.00", "12.00"),
        PricePlan.per_million(CustomerId("burns"), 0, "USD", "3.00", "0"),
    )
    return World(charges, _company_facts(second), plans)


def _company_facts(second: tuple[int, int]) -> Facts:
    here = msgspec.structs.replace(
        a_leg("replica-1", (100, 400), Tokens(1_000_000, 500_000)), region="eu", chip="gpu-a"
    )
    there = msgspec.structs.replace(
        a_leg(None, (0, 9), Tokens(1_000_000, 0), provider="solora"), region="us"
    )
    sold, bought = Tokens(1_000_000, 500_000), Tokens(1_000_000, 0)
    usages = (
        a_usage("call-a", tokens=sold, sent_bytes=30, legs=[here]),
        a_usage("call-b", customer="burns", model="large", tokens=bought, legs=[there]),
        a_usage("call-f", customer="freda", purpose=Purpose.SERVE_FREE, sent_bytes=10),
        a_usage("call-t", customer="lab", purpose=Purpose.TRAIN_INFERENCE, sent_bytes=10),
    )
    steps = (
        a_step(0, 100, 300, [("call-a", 10, 0, 0)]),
        a_step(1, 500, 100, [("call-t", 10, 0, 0)]),
    )
    states = {State.LOADING: 100, State.ACTIVE: 400, State.IDLE: 300}
    held = Unit.BYTE_SECONDS
    corpus = an_activity("corpus", "disk", second, 3_000, purpose=Purpose.DATA_PREP, unit=held)
    files = an_activity(
        "files", "disk", second, 1_000, purpose=Purpose.SERVE_PAID, unit=held, customer="acme"
    )
    descent = an_activity("descent", "node-1", (800, 900), 100)
    return Facts(usages, steps, an_interval((0, 800), states), (descent, corpus, files))
