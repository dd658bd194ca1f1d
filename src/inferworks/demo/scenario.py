"""Scenario of the demo: callers, calls, times and prices, all decided before the first call.

Everything here is a pure function of the number of calls, the seconds and the seed, so two runs send the
same calls; only the machine's time for them differs.

The prices are *derived*, because the demo must show one customer with a profit and one with a loss on a
slow machine and a fast one alike. The bill of a span is known beforehand but for the length of the run
(`bills.py`). `acme` is priced to bring in about the whole expected bill, several times what its share of
the work can cost; `bargain` to bring in less than its share of the *web* bill alone, which follows bytes
and not speed. No outcome is set by hand: the books compute it from the metered records.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from inferworks.demo.bills import expected_bill_pico
from inferworks.ids import CustomerId
from inferworks.planner.workload import Workload
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND

CALLS_PER_SECOND = 20
"""Calls that a small machine serves in a second, beside everything else that the demo does."""
FEWEST_CALLS = 12
UNKNOWN_MODEL = "a-model-that-is-not-here"
SAMPLE_QUESTION = "What is gross margin?"

_LEAVE_EVERY, _REFUSE_EVERY = 20, 25
_LEFT_TOKENS = 400
"""Tokens requested by a caller who leaves: enough that the answer is surely still running."""
_OUTPUT_PRICE_RATIO = 4
"""Price of an output token over that of an input token, as is usual."""


class Party(msgspec.Struct, frozen=True):
    """A customer of the demo."""

    id: CustomerId
    purpose: Purpose
    share: int
    """Share of all calls, in percent."""
    about: str


ACME = Party(CustomerId("acme"), Purpose.SERVE_PAID, 45, "pays well")
BARGAIN = Party(CustomerId("bargain"), Purpose.SERVE_PAID, 25, "pays less than it costs")
FREE_TIER = Party(CustomerId("free-tier"), Purpose.SERVE_FREE, 30, "pays nothing")
PARTIES = (ACME, BARGAIN, FREE_TIER)

LAB = CustomerId("lab")
"""Trains the next model: its calls are rollouts, its machine time is gradient descent."""
_ACME_PERCENT = 100
"""Revenue for which `acme` is priced, in percent of the bill expected for the span."""
_BARGAIN_DISCOUNT = 200
"""Price per token of `acme` over that of `bargain`: far under its cost on any machine."""


class Ending(StrEnum):
    """Intended ending of a planned call."""

    ANSWERED = "answered"
    LEFT = "left"
    """Left by its caller in the middle of the answer."""
    REFUSED = "refused"
    """Refused, since it asks for a model that is not there."""


class PlannedCall(msgspec.Struct, frozen=True):
    """One call to be sent."""

    number: int
    customer: CustomerId
    at_ns: int
    """Start of the call, in nanoseconds from the start of the traffic."""
    question: str
    stream: bool
    max_tokens: int
    exact: bool
    """True if the answer is to have exactly `max_tokens` tokens, as a trace demands."""
    ending: Ending = Ending.ANSWERED
    temperature: float = 0.0

    @property
    def expected_tokens(self) -> tuple[int, int]:
        """A guess of (input, output) tokens: this model reads one byte a token."""
        output = self.max_tokens if self.exact else min(self.max_tokens, _TYPICAL_ANSWER)
        return len(self.question.encode()) + _TEMPLATE_TOKENS, output


_TEMPLATE_TOKENS = 4
"""Tokens that the chat template adds to a question."""
_TYPICAL_ANSWER = 90
_LONGEST_ANSWER = 300

_TERMS = (
    "gross margin", "marginal cost", "cost of revenue", "unit cost", "prefill", "decode", "batching",
    "the KV cache", "throughput", "utilisation", "idle capacity", "depreciation", "a cost driver",
    "a ledger", "double entry", "a replica", "a rate limit", "prompt caching", "the free tier",
)  # fmt: skip
_ABOUT_TERMS = (
    "What is {}?", "Define {}.", "Explain {}.", "Why does {} matter?", "Why is {} important?",
    "In inference economics, what is {}?", "What is the difference between {} and an invoice?",
)  # fmt: skip
_SUMS = ("What is {} + {}?", "Add {} and {}.", "How much is {} + {}?", "What is {} plus {}?")
_STORIES = ("Tell me a story about Ada.", "Write a long story about Omar.", "Count from 3 to 24.")


def planned(calls: int, seconds: int, seed: int) -> tuple[PlannedCall, ...]:
    """`calls` questions spread at random over `seconds`, in the order of their times."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible mix, not a secret
    times_ns = sorted(rng.randrange(seconds * NS_PER_SECOND) for _ in range(calls))
    customers = _customers(calls, rng)
    plan = [
        PlannedCall(
            number, customer, at_ns, question(rng), rng.random() < 0.5, _LONGEST_ANSWER, exact=False
        )
        for number, (at_ns, customer) in enumerate(zip(times_ns, customers, strict=True))
    ]
    return tuple(_with_endings(plan))


def planned_from(workload: Workload, seed: int) -> tuple[PlannedCall, ...]:
    """A call for every arrival of `workload`, of its time and lengths."""
    rng = random.Random(seed)  # noqa: S311
    customers = _customers(len(workload.arrivals), rng)
    plan = [
        PlannedCall(
            number,
            customer,
            arrival.at_ns,
            question_of_length(max(1, arrival.input_tokens - _TEMPLATE_TOKENS), rng),
            rng.random() < 0.5,
            arrival.output_tokens,
            exact=True,
        )
        for number, (arrival, customer) in enumerate(zip(workload.arrivals, customers, strict=True))
    ]
    return tuple(_with_endings(plan))


def question(rng: random.Random) -> str:
    """One question of a kind that the embedded model has been taught."""
    kind = rng.random()
    if kind < 0.55:
        return rng.choice(_ABOUT_TERMS).format(rng.choice(_TERMS))
    if kind < 0.92:
        return rng.choice(_SUMS).format(rng.randrange(100), rng.randrange(100))
    return rng.choice(_STORIES)


def question_of_length(length: int, rng: random.Random) -> str:
    """Questions one after the other, cut to `length` bytes."""
    text = ""
    while len(text) < length:
        text += question(rng) + " "
    return text[:length]


def rollouts(count: int, seed: int) -> tuple[PlannedCall, ...]:
    """Plan the trainer's calls, whose answers it learns from; sampled, not greedy."""
    rng = random.Random(seed)  # noqa: S311
    return tuple(
        PlannedCall(number, LAB, 0, question(rng), False, 160, exact=False, temperature=0.7)
        for number in range(count)
    )


def price_of(party: Party, plan: Sequence[PlannedCall], seconds: int) -> tuple[int, int]:
    """Picounits per (input, output) token for `party`, of two significant digits; (0, 0) is free."""
    if party.purpose is not Purpose.SERVE_PAID:
        return 0, 0
    tokens = [
        call.expected_tokens
        for call in plan
        if call.customer == ACME.id and call.ending is Ending.ANSWERED
    ]
    weight = sum(read + written * _OUTPUT_PRICE_RATIO for read, written in tokens)
    target_pico = expected_bill_pico(seconds) * _ACME_PERCENT // 100
    per_token_pico = target_pico // max(1, weight)
    if party is BARGAIN:
        per_token_pico //= _BARGAIN_DISCOUNT
    step = int(10 ** max(0, len(str(per_token_pico)) - 2))
    price_pico = max(1, per_token_pico // step * step)
    return price_pico, price_pico * _OUTPUT_PRICE_RATIO


def _customers(calls: int, rng: random.Random) -> list[CustomerId]:
    """Assign calls to customers: the shares kept as exactly as whole calls allow, the order at random."""
    owed = [
        party.id for party in PARTIES for _ in range(max(1, -(-calls * party.share // 100)))
    ]  # rounded up, so that everyone calls
    rng.shuffle(owed)
    return owed[:calls]


def _with_endings(plan: Sequence[PlannedCall]) -> Iterator[PlannedCall]:
    """`plan` with some calls that are left in the middle and some that are refused."""
    for call in plan:
        if call.number % _REFUSE_EVERY == _REFUSE_EVERY // 2:
            yield msgspec.structs.replace(call, ending=Ending.REFUSED)
        elif call.number % _LEAVE_EVERY == _LEAVE_EVERY // 2:
            yield msgspec.structs.replace(
                call,
                ending=Ending.LEFT,
                stream=True,
                max_tokens=_LEFT_TOKENS,
                exact=True,
                question=call.question[:_LEFT_TOKENS],
            )
        else:
            yield call
