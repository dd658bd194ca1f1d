"""Rating: what a call earns. Tokens times the price in force; whole picounits; nothing rounds.

A call earns at the price in force when it was opened, and only if its purpose is one that customers pay
for and it was answered, or cut short by its client or by a crash of ours after it had begun: then it
pays for the tokens it was delivered. A refused or failed call pays nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.books.drivers import INPUT, OUTPUT
from inferworks.books.span import Span
from inferworks.errors import BooksError, MoneyError
from inferworks.ids import CustomerId, KeyId, ModelId, ProjectId
from inferworks.meter.usage import Outcome, Usage
from inferworks.purpose import Purpose

EARNING = frozenset({Purpose.SERVE_PAID, Purpose.CUSTOMER_TRAINING})
PAYING = frozenset({Outcome.ANSWERED, Outcome.CANCELLED, Outcome.CRASHED})


class Rated(msgspec.Struct, frozen=True):
    """Tokens of one kind at one price, and what they earned: `tokens * pico_per_token`."""

    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    model: ModelId
    purpose: Purpose
    direction: str
    """FOCUS's TokenDirection."""
    effective_ns: int
    """From when the price was in force."""
    pico_per_token: int
    tokens: int
    amount_pico: int


class Revenue(msgspec.Struct, frozen=True):
    """What the calls of a span earned, and how many calls of each customer had no price."""

    rated: tuple[Rated, ...]
    unpriced: tuple[tuple[CustomerId, int], ...]

    @property
    def amount_pico(self) -> int:
        """The whole revenue."""
        return sum(row.amount_pico for row in self.rated)


def rate(usages: Iterable[Usage], plans: Sequence[PricePlan], span: Span, currency: str) -> Revenue:
    """What the calls opened in `span` earned, by price and kind of token.

    MoneyError when a plan in force is in another currency; BooksError when a count is negative.
    """
    by_customer = _by_customer(plans)
    tokens: dict[tuple[str, ...], int] = defaultdict(int)
    plan_of: dict[tuple[str, ...], tuple[Usage, PricePlan]] = {}
    unpriced: dict[CustomerId, int] = defaultdict(int)
    for usage in usages:
        if not _earns(usage, span):
            continue
        plan = plan_at(by_customer.get(usage.customer, ()), usage.customer, usage.opened_ns)
        if plan is None:
            unpriced[usage.customer] += 1
            continue
        for direction, count in _counts(usage):
            key = _key(usage, plan, direction)
            plan_of.setdefault(key, (usage, _in_currency(plan, currency)))
            tokens[key] += count
    rated = tuple(_rated(*plan_of[key], key[-1], tokens[key]) for key in sorted(tokens))
    return Revenue(rated, tuple(sorted(unpriced.items())))


def _earns(usage: Usage, span: Span) -> bool:
    return span.holds(usage.opened_ns) and usage.purpose in EARNING and usage.outcome in PAYING


def _counts(usage: Usage) -> tuple[tuple[str, int], tuple[str, int]]:
    tokens = usage.tokens
    if tokens.input < 0 or tokens.output < 0:
        raise BooksError(f"call {usage.call_id} has a negative token count: {tokens}")
    return (INPUT, tokens.input), (OUTPUT, tokens.output)


def _rated(usage: Usage, plan: PricePlan, direction: str, tokens: int) -> Rated:
    price = plan.input_pico_per_token if direction == INPUT else plan.output_pico_per_token
    return Rated(
        customer=usage.customer,
        project=usage.project,
        key_id=usage.key_id,
        model=usage.model,
        purpose=usage.purpose,
        direction=direction,
        effective_ns=plan.effective_ns,
        pico_per_token=price,
        tokens=tokens,
        amount_pico=tokens * price,
    )


def _key(usage: Usage, plan: PricePlan, direction: str) -> tuple[str, ...]:
    """What calls must share to be rated together; text only, so that any two compare."""
    since = f"{plan.effective_ns:020d}"
    who = (usage.customer, usage.project, usage.key_id)
    return (*who, usage.model, usage.purpose.value, since, direction)


def _by_customer(plans: Iterable[PricePlan]) -> dict[CustomerId, list[PricePlan]]:
    grouped: dict[CustomerId, list[PricePlan]] = defaultdict(list)
    for plan in plans:
        grouped[plan.customer].append(plan)
    return {customer: sorted(plans, key=_plan_order) for customer, plans in grouped.items()}


def _in_currency(plan: PricePlan, currency: str) -> PricePlan:
    if plan.currency != currency:
        raise MoneyError(
            f"the price plan of customer {plan.customer!r} is in {plan.currency}, the books are kept "
            f"in {currency}; give the customer a plan in {currency}"
        )
    return plan


def _plan_order(plan: PricePlan) -> tuple[int, int, int]:
    """Settles which of two plans stands first, whatever order they came in."""
    return plan.effective_ns, plan.input_pico_per_token, plan.output_pico_per_token
