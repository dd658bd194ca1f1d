"""Inputs of a statement: charges, facts, plans and rules, opened for reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from inferworks.accounts.directory import ALONE, Directory, directory_of
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import Policy, load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.accruals.api_estimates import Accuracy
from inferworks.books.allocation.pools import read_pools
from inferworks.books.calendar.moments import utc_text
from inferworks.books.calendar.span import Span, Timed
from inferworks.books.charge import Charge
from inferworks.books.lines import Charges, Lines, with_more
from inferworks.books.repository.store import BookStore
from inferworks.books.statement.computation import (
    BUNDLES,
    Computation,
    Inputs,
    Rules,
    shipped_rules,
)
from inferworks.books.statement.statement import (
    as_divided,
    checked,
    elapsed_span,
    whole_span,
)
from inferworks.books.workspace.accruing import unbilled
from inferworks.books.workspace.bill_lines import BillLines
from inferworks.books.workspace.estimating import estimated
from inferworks.books.workspace.ledgers import check_folder
from inferworks.books.workspace.prepaid import prepaid_of
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.settings import Settings
from inferworks.errors import BooksError, UserError
from inferworks.files import text_of
from inferworks.folder import DataFolder
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import Segment, read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.facts import Facts, in_force
from inferworks.meter.usage import Usage
from inferworks.units import NS_PER_SECOND

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.analysis.single_lines import Singles

_ALWAYS = Span(0, 2**63 - 1)
LONGEST_CALL_NS = 86_400 * NS_PER_SECOND
"""Longest time before a span at which a call that uses machines in it may have been opened."""


class Recorded(NamedTuple):
    """The recorded facts of a span, wherever they are: at hand, in segments or as tables of an engine."""

    facts: Facts
    """The facts that are at hand; none where an engine has all of them."""
    bought: Sequence[Usage]
    """At least the calls that others' APIs may have served, whose cost is estimated."""
    divided: Callable[[Charges, Rules, Span], Iterable[Charge]]
    """Puts bill lines into bundles where they are too many to hold."""
    segments: tuple[Segment, ...] = ()
    """The files of the lake that hold the other facts."""


def gather(
    settings: Settings,
    query: Query,
    lines: BillLines,
    span: Span,
    recorded: Recorded,
    *,
    validated: bool = True,
) -> Inputs:
    """Return everything that is recorded for `span`, and the rules that `query` asks for.

    Beside the bills stand estimates of calls and accruals. BooksError when bill lines that must be
    `validated` are not what was imported.
    """
    currency = lines.currency
    charges = lines.charges(validated=validated)
    rules = in_bundles_from(charges, rules_of(settings, query.pools_path))
    bills = recorded.divided(charges, rules, span)
    more = unbilled(settings, bills, recorded.bought, rules, span, currency)
    plans = plans_of(settings)
    return Inputs(
        charges=with_more(charges, more),
        facts=recorded.facts,
        plans=plans,
        policy=policy_of(settings, query.policy or settings.policy),
        currency=currency,
        span=span,
        rules=rules,
        prepaid=prepaid_for(settings, plans, span, currency, rules),
        segments=recorded.segments,
    )


def inputs_between(settings: Settings, query: Query) -> Inputs:
    """Return what a statement between the moments of `query` is computed from, all facts at hand."""
    check_folder(settings.folder)
    wanted = wanted_span(query.start_ns, query.end_ns)
    facts = facts_of(settings, wanted)
    lines = BillLines(settings.folder, wanted, settings.currency)
    span = query_span(settings, query.start_ns, query.end_ns, lines.times, whole_span((), facts))

    def divided(charges: Charges, rules: Rules, span: Span) -> Sequence[Charge]:
        return as_divided(charges, facts, rules, span)

    with refusals():
        return gather(settings, query, lines, span, Recorded(facts, facts.usages, divided))


def span_of(settings: Settings, start_ns: int | None, end_ns: int | None) -> Span:
    """Return the span of a query; an end that is None is that of what has happened so far."""
    folder = settings.folder
    check_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    if None in (start_ns, end_ns):
        lines = BillLines(folder, wanted, settings.currency)
        used = whole_span((), facts_of(settings, wanted))
        return query_span(settings, start_ns, end_ns, lines.times, used)
    return wanted


def first_record_ns(settings: Settings) -> int | None:
    """Return the first moment of which a statement can have figures; None where nothing is recorded.

    That is of a bill line, a call, a machine, credit, or a price plan that earns without use.
    """
    folder = settings.folder
    starts = [line.period_start_ns for line in BillLines(folder, _ALWAYS, "").times]
    starts += [segment.start_ns for segment in read_manifest(settings.lake()).segments]
    with JournalsReader(folder.written_journals()) as reader:
        used_ns = reader.first_ns()
    starts += [] if used_ns is None else [used_ns]
    starts += [plan.effective_ns for plan in plans_of(settings) if not plan.terms.is_plain]
    if settings.has_accounts:
        with settings.accounts() as accounts:
            starts += [credit.bought_ns for credit in accounts.credits()]
    return min(starts, default=None)


def computation_of(inputs: Inputs) -> Computation:
    """Return the validated computation of `inputs` that have all their facts in memory."""
    with refusals():
        return checked(inputs)


@contextmanager
def refusals() -> Iterator[None]:
    """Add to an error of the books that there is no statement."""
    try:
        yield
    except BooksError as error:
        raise BooksError(f"the statement cannot be computed: {error}") from error


def singles_of(computation: Computation, inputs: Inputs) -> Singles | tuple[()]:
    """Return each bill line by itself, where `computation` has them in bundles."""
    if not isinstance(inputs.charges, Lines):
        return ()
    from inferworks.books.analysis.single_lines import Singles  # numpy takes its time to load

    return Singles(computation, inputs)


def wanted_span(start_ns: int | None, end_ns: int | None) -> Span:
    """Return the span of a query; an end that is None is that of all time."""
    return Span(
        _ALWAYS.start_ns if start_ns is None else start_ns,
        _ALWAYS.end_ns if end_ns is None else end_ns,
    )


def query_span(
    settings: Settings,
    start_ns: int | None,
    end_ns: int | None,
    charges: Sequence[Timed],
    used: Span,
) -> Span:
    """Return the span of a query: an end that was given, else that of what has happened so far.

    UserError when nothing can have happened on that side of the end that was given.
    """
    if start_ns is not None and end_ns is not None:
        return Span(start_ns, end_ns)
    now_ns = settings.clock.now_ns()
    elapsed = elapsed_span(charges, used, now_ns)
    span = Span(
        elapsed.start_ns if start_ns is None else start_ns,
        elapsed.end_ns if end_ns is None else end_ns,
    )
    if elapsed.length_ns and span.length_ns:
        return span
    if end_ns is not None:
        raise UserError(f"nothing is recorded before {utc_text(end_ns)}; give --from as well")
    if start_ns is None:
        return span  # nothing is recorded at all
    if start_ns >= now_ns:
        raise UserError(f"{utc_text(start_ns)} is yet to come; give --to as well")
    return Span(start_ns, now_ns)


def open_store(folder: DataFolder, *, read_only: bool) -> BookStore:
    """The books in `folder`; DataFolderError without a data folder, UserError when it has none yet."""
    check_folder(folder)
    if not folder.books.exists():
        raise UserError(
            f"nothing was imported into {folder.path} yet; begin with: inferworks books import FILE "
            "(import_bills)"
        )
    return BookStore(folder.books, read_only=read_only)


def policy_of(settings: Settings, name: str) -> Policy:
    """The policy called `name`: one that ships, one in `policies/` of the data folder, or a path."""
    return load_policy(name, settings.folder.path / "policies")


def in_bundles_from(charges: Charges, rules: Rules) -> Rules:
    """`rules` that say whether lines are put into bundles, as they are where they are too many to hold."""
    return msgspec.structs.replace(rules, bundles=BUNDLES) if isinstance(charges, Lines) else rules


def around(span: Span) -> Span:
    """`span` and the time before it in which a call that uses it may have been opened."""
    return Span(max(0, span.start_ns - LONGEST_CALL_NS), span.end_ns)


def lake_reader(settings: Settings) -> LakeReader:
    """The lake together with the journals of its folder."""
    return LakeReader(settings.lake(), *settings.folder.journals())


def estimates_of(
    settings: Settings, start_ns: int | None, end_ns: int | None
) -> tuple[Accuracy, ...]:
    """Return the accuracy of the estimates of a span given by its ends."""
    folder = settings.folder
    check_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    lines = BillLines(folder, wanted, settings.currency)
    facts, rules = facts_of(settings, wanted), rules_of(settings, None)
    span = query_span(settings, start_ns, end_ns, lines.times, whole_span((), facts))
    bills = as_divided(lines.charges(), facts, rules, span)
    return estimated(folder, bills, facts.usages, rules, span, lines.currency).accuracy


def charges_of(settings: Settings, span: Span, *, validated: bool = True) -> tuple[Charges, str]:
    """The charges that meet `span`, and their currency; none when nothing was imported yet.

    Where they are `validated`, BooksError when they are not what was imported (theorems 16 and 17).
    """
    lines = BillLines(settings.folder, span, settings.currency)
    return lines.charges(validated=validated), lines.currency


def facts_of(settings: Settings, span: Span) -> Facts:
    """The meter's facts for `span`, sealed or not; none when nothing was ever served here."""
    return in_force(lake_reader(settings).facts(*around(span)))


def plans_of(settings: Settings) -> tuple[PricePlan, ...]:
    """Every price plan; none when there are no customers yet."""
    if not settings.has_accounts:
        return ()
    with settings.accounts() as accounts:
        return tuple(accounts.plans())


def prepaid_for(
    settings: Settings,
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
    rules: Rules,
) -> Prepaid:
    """Return credit, earlier totals and exchange rates of `span`."""
    return prepaid_of(
        settings,
        lambda past: facts_of(settings, past),
        plans,
        span,
        currency,
        rules.customers,
    )


def customers_of(settings: Settings) -> Directory:
    """As whom customers count, and what they are called."""
    if not settings.has_accounts:
        return ALONE
    with settings.accounts() as accounts:
        return directory_of(accounts.facts())


def rules_of(settings: Settings, pools_path: Path | None) -> Rules:
    """Return the company's own names, and the pools in the file at `pools_path`, else the shipped ones."""
    rules = msgspec.structs.replace(
        shipped_rules(),
        departments=settings.departments,
        recoverable_taxes=settings.recoverable_taxes,
        billing=settings.billing,
        customers=customers_of(settings),
    )
    if pools_path is None:
        return rules
    pools = read_pools(text_of(pools_path, "pools file"), pools_path.name)
    return msgspec.structs.replace(rules, pools=pools)
