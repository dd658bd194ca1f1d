"""The promises that must hold after every run, each a function and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.rating import EARNING, PAYING, rate
from inferworks.ids import CustomerId
from inferworks.meter.usage import Confidence, Outcome, Usage
from inferworks.simulation.world import CUSTOMERS, PRICES_PICO, World

_ALL_TIME: Final = Span(0, 1 << 62)
_UNDER_WAY_NS: Final = 10**8
"""Nanoseconds after a power failure in which an upstream may still hear of a call."""
_FORGOTTEN_NS: Final = 2 * 10**9
"""A power failure may forget calls that were opened so shortly before, and not answered."""


def broken(world: World) -> list[str]:
    """The promises that a run has broken."""
    return [
        f"{promise.__name__.replace('_', ' ')}: {how}"
        for promise in PROMISES
        for how in promise(world)
    ]


def one_record_per_call(world: World) -> Iterator[str]:
    """No call has two records, none is left open, and no record was put aside."""
    labels = Counter(usage.end_user for usage in world.usages if usage.end_user)
    yield from (f"{label} has {n}" for label, n in labels.items() if n > 1)
    yield from (f"{opened.end_user} is still open" for opened in world.unclosed)
    for row in world.quarantined:
        if row.source != "openings" or not world.power_losses:  # a line that was never made durable
            yield f"{row.reason} {row.key}"


def no_answer_without_its_record(world: World) -> Iterator[str]:
    """Every client with a whole answer has been counted, whatever happened to the gateway since."""
    known = {usage.call_id for usage in world.usages}
    for call in world.clients.calls:
        if call.whole and call.call_id and call.call_id not in known:
            yield f"{call.label} {call.call_id} {call.status}"


def no_work_without_its_record(world: World) -> Iterator[str]:
    """Work asked of an upstream is on record, save for the first second before a power failure.

    Or since the disk failed: records that could not be written then are lost with the power.
    """
    known = {usage.end_user for usage in world.usages}
    for label, asked in world.asked().items():
        at_ns = max(one.at_ns for one in asked)
        lost = any(
            since_ns - _FORGOTTEN_NS <= at_ns <= off_ns + _UNDER_WAY_NS
            for since_ns, off_ns in world.power_losses
        )
        if label not in known and not lost:
            yield f"{label} {asked[-1].behaviour}"


def tokens_are_those_that_upstreams_told(world: World) -> Iterator[str]:
    """Tokens recorded as reported equal those in the answer of the upstream that served it."""
    asked = world.asked()
    for usage in world.usages:
        if usage.outcome is not Outcome.ANSWERED or usage.confidence is not Confidence.REPORTED:
            continue
        tokens = (usage.tokens.input, usage.tokens.output)
        told = [(one.input_tokens, one.output_tokens) for one in asked.get(usage.end_user, ())]
        if tokens not in told:
            yield f"{usage.end_user} {usage.tokens} of {asked.get(usage.end_user)}"


def sums_of_money_are_equal(world: World) -> Iterator[str]:
    """Costs disclosed to clients equal those of their records, and those in the books."""
    records: dict[str, Usage] = {usage.call_id: usage for usage in world.usages}
    for call in world.clients.calls:
        usage = records.get(call.call_id)
        if usage is not None and call.whole and call.cost_pico is not None:
            owed = _charge(usage)
            if owed != call.cost_pico:
                yield f"{call.label} was told {call.cost_pico}, its record comes to {owed}"
    plans = [
        PricePlan.per_token(CustomerId(name), 0, "USD", *PRICES_PICO[name]) for name in CUSTOMERS
    ]
    revenue = rate(world.usages, plans, _ALL_TIME, "USD")
    ours = sum(_charge(usage) for usage in world.usages)
    if revenue.amount_pico != ours:
        yield f"the books say {revenue.amount_pico}, the records {ours}"


def customers_are_apart(world: World) -> Iterator[str]:
    """A record belongs to the caller, and an answer holds no other client's text."""
    calls = {call.label: call for call in world.clients.calls}
    for usage in world.usages:
        call = calls.get(usage.end_user)
        if call is not None and call.customer != usage.customer:
            yield f"{call.label} of {call.customer} is on record for {usage.customer}"


def no_time_is_negative(world: World) -> Iterator[str]:
    """No end before its beginning, however the wall clock is set."""
    for usage in world.usages:
        times = [(usage.opened_ns, usage.closed_ns)]
        times += [(leg.started_ns, leg.ended_ns) for leg in usage.legs]
        if any(began_ns > ended_ns for began_ns, ended_ns in times):
            yield f"{usage.end_user} {usage.outcome} {times}"


def nobody_is_forgotten(world: World) -> Iterator[str]:
    """A client is answered, or its connection ends; none waits for nothing."""
    for call in world.clients.calls:
        off = any(off_ns >= call.asked_ns for _, off_ns in world.power_losses)
        if call.forgotten and not off:
            yield f"{call.label} {call.status}"


def nothing_ends_unseen(world: World) -> Iterator[str]:
    """No exception is left to an event loop; nothing fails but for the disk, and that is logged."""
    yield from world.gateway.complaints
    for at_ns, error in world.logged:
        of_disk = any(since_ns <= at_ns <= until_ns for since_ns, until_ns in world.disk_troubles)
        of_power = world.power_losses and "not what was written" in error
        if not (of_disk or of_power):
            yield error
    for upstream in world.upstreams:
        yield from map(repr, upstream.bugs)


PROMISES = (
    one_record_per_call,
    no_answer_without_its_record,
    no_work_without_its_record,
    tokens_are_those_that_upstreams_told,
    sums_of_money_are_equal,
    customers_are_apart,
    no_time_is_negative,
    nobody_is_forgotten,
    nothing_ends_unseen,
)


def _charge(usage: Usage) -> int:
    """The amount of a record, reckoned here by hand."""
    if usage.purpose not in EARNING or usage.outcome not in PAYING:
        return 0
    input_pico, output_pico = PRICES_PICO[usage.customer]
    return usage.tokens.input * input_pico + usage.tokens.output * output_pico
