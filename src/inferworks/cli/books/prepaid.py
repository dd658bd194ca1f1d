"""What a statement must know of prepaid credit: what was bought, and what was earned before its span."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from inferworks.accounts.credit import Credit
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.months import month_of
from inferworks.books.rate import rate
from inferworks.books.span import Span
from inferworks.books.wallet import NOTHING_PREPAID, Prepaid, days_of
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts


def prepaid_of(
    folder: DataFolder,
    facts_of: Callable[[Span], Facts],
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
) -> Prepaid:
    """The credit in `folder`. Calls before `span` are read only where credit is older than it."""
    if not folder.accounts.exists():
        return NOTHING_PREPAID
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        bought = accounts.credits()
    older = [credit for credit in bought if credit.bought_ns < span.start_ns]
    if not older:
        return Prepaid(tuple(bought))
    return Prepaid(tuple(bought), _earned(older, facts_of, plans, span, currency))


def _earned(
    older: Sequence[Credit],
    facts_of: Callable[[Span], Facts],
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
) -> tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...]:
    """What those who bought credit before `span` earned us from the month of their first up to it."""
    customers = {credit.customer for credit in older}
    past = Span(month_of(min(credit.bought_ns for credit in older)).start_ns, span.start_ns)
    calls = (usage for usage in facts_of(past).usages if usage.customer in customers)
    own = [plan for plan in plans if plan.customer in customers]
    rated = rate(calls, own, past, currency).rated
    return tuple((name, tuple(sorted(days_of(rated, name).items()))) for name in sorted(customers))
