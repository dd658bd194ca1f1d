"""Bill lines for calls that no recorded call explains: questions to a person, never guesses.

A line for calls that no recorded call explains is unallocated, while the calls that it may be for are
estimated beside it: the cost may be counted twice, and nobody bears it. Only a person can tell that two
names mean the same. So the question names both sides, and the row of the configuration that would answer
it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from inferworks.books.accruals.reversals import is_reversal
from inferworks.books.allocation.allocate import Allocation, Portion
from inferworks.books.allocation.billed_usage import Sold, model_text, sale_of
from inferworks.books.allocation.pools import DriverKind
from inferworks.books.charge import Charge, ChargeId, is_provisional
from inferworks.catalog.billing import Billing
from inferworks.money import format_pico

UNEXPLAINED = f"{DriverKind.PROVIDER_TOKENS}/whole"
"""The method of a line that no call explains."""
_MOST = 5
"""Questions of one kind that are asked at once."""


class _Names(NamedTuple):
    """Names on a line: its seller and what it sold."""

    provider: str
    issuer: str
    service: str
    model: str
    """Model of the line; empty where none is certain."""


def is_unexplained(parts: Iterable[Allocation | Portion]) -> bool:
    """Return True if these are the parts of a charge for calls of which none is recorded."""
    return all(p.method == UNEXPLAINED and p.target.unallocated is not None for p in parts)


def open_questions(
    charges: Iterable[Charge], unexplained: Collection[ChargeId], billing: Billing
) -> Iterator[str]:
    """Yield questions about the `unexplained` among `charges`, while calls wait for a bill.

    Nothing, where no estimate among `charges` stands for calls that are not billed.
    """
    charges = tuple(charges)
    estimates: dict[Sold, int] = defaultdict(int)
    for charge in filter(is_provisional, charges):
        sold = charge.provider, charge.resource_id or ""
        estimates[sold] += -1 if is_reversal(charge) else 1
    waiting = sorted(sold for sold, count in estimates.items() if count > 0)
    if not waiting:
        return
    placed: set[tuple[str, str, str]] = set()
    sums: dict[_Names, int] = defaultdict(int)
    for charge in charges:
        if is_provisional(charge):
            continue
        names = (charge.provider, charge.issuer, charge.service_name)
        if charge.id not in unexplained:
            placed.add(names)
            continue
        sale = sale_of(charge, billing)
        if sale.is_for_calls:
            sums[_Names(*names, model_text(charge) if sale.certain else "")] += charge.amount_pico
    questions = [_question(names, sums[names], waiting, placed, billing) for names in sorted(sums)]
    yield from questions[:_MOST]
    if len(questions) > _MOST:
        yield f"{len(questions) - _MOST} more names on bills match no call."


def _question(
    names: _Names,
    amount_pico: int,
    waiting: Sequence[Sold],
    placed: Collection[tuple[str, str, str]],
    billing: Billing,
) -> str:
    sellers = {name: billing.forms(name) for name, _ in waiting}
    named = billing.seller(names.provider, names.issuer, names.service).providers
    mine = [name for name in sellers if not named.isdisjoint(sellers[name])]
    seller = (
        names.issuer
        if names.provider in ("", names.issuer)
        else f"{names.provider} ({names.issuer})"
    )
    of = f" for {names.service}" if names.service else ""
    amount = format_pico(amount_pico)
    if names.model and (mine or names[:3] in placed):
        models = sorted({model for name, model in waiting if not mine or name in mine})
        return (
            f"{amount} from {seller}{of} is for {names.model}, which no call named, while calls of "
            f"{_some(models)} have no bill; if one is the other, add to the configuration: [[billed]] with "
            f"models = [{{ name = {_quoted(models[0])}, upstream = {_quoted(names.model)} }}]"
        )
    row = [f"names = [{_quoted(names.provider or names.issuer)}]"]
    row += [f"services = [{_quoted(names.service)}]"] if names.service else []
    return (
        f"{amount} from {seller}{of} is for no provider that was called, while calls at "
        f"{_some(sorted(sellers))} have no bill; if it is for them, add to the configuration: [[billed]] "
        f"with {', '.join(row)} and providers = [{_quoted(min(sellers))}]"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _quoted(text: str) -> str:
    """`text` as TOML has it."""
    return msgspec.json.encode(text).decode()
