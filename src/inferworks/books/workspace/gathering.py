"""Inputs of a statement: charges, facts, plans and rules, opened for reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from inferworks.accounts.directory import ALONE, Directory, directory_of
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import Policy, load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.accruals.api_estimates import Accuracy
from inferworks.books.allocation.pools import read_pools
from inferworks.books.calendar.moments import utc_text
from inferworks.books.calendar.span import Span, Timed
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
from inferworks.books.workspace.prepaid import prepaid_of
from inferworks.books.workspace.settings import Settings
from inferworks.errors import BooksError, DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.archive.reader import LakeReader, segments_of
from inferworks.meter.facts import Facts, in_force
from inferworks.units import NS_PER_SECOND

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.analysis.single_lines import Singles

_ALWAYS = Span(0, 2**63 - 1)
LONGEST_CALL_NS = 86_400 * NS_PER_SECOND
"""Longest time before a span at which a call that uses machines in it may have been opened."""


def papers_asked(
    settings: Settings,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Inputs:
    """Return the inputs of a span given by its ends, with all facts in memory."""
    folder = settings.folder
    if not folder.path.is_dir():
        raise no_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    facts, plans = facts_of(settings, wanted), plans_of(settings)
    lines = BillLines(folder, wanted, settings.currency)
    span = asked_span(settings, start_ns, end_ns, lines.times, whole_span((), facts))
    currency = lines.currency
    try:
        charges = lines.charges()
        rules = in_bundles_from(charges, rules_of(settings, pools_path))
        bills = as_divided(charges, facts, rules, span)
        charges = with_more(charges, unbilled(settings, bills, facts.usages, rules, span, currency))
        prepaid = prepaid_for(settings, plans, span, currency, rules)
        drawn_under = policy_of(settings, policy)
        return Inputs(charges, facts, plans, drawn_under, currency, span, rules, prepaid)
    except BooksError as error:
        raise BooksError(f"no statement can be drawn up: {error}") from error


def span_of(settings: Settings, start_ns: int | None, end_ns: int | None) -> Span:
    """The span that the command line asks for; an end that was not given is that of what has happened."""
    folder = settings.folder
    if not folder.path.is_dir():
        raise no_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    if None in (start_ns, end_ns):
        lines = BillLines(folder, wanted, settings.currency)
        used = whole_span((), facts_of(settings, wanted))
        return asked_span(settings, start_ns, end_ns, lines.times, used)
    return wanted


def worked_out_of(papers: Inputs) -> Computation:
    """The validated workings of `papers` that have all their facts at hand."""
    try:
        return checked(papers)
    except BooksError as error:
        raise BooksError(f"no statement can be drawn up: {error}") from error


def singles_of(workings: Computation, papers: Inputs) -> Singles | tuple[()]:
    """Each bill line alone, where `workings` have them in bundles."""
    if not isinstance(papers.charges, Lines):
        return ()
    from inferworks.books.analysis.single_lines import Singles  # numpy takes its time to load

    return Singles(workings, papers)


def wanted_span(start_ns: int | None, end_ns: int | None) -> Span:
    """The span asked for; an end that was not given is that of all time."""
    return Span(
        _ALWAYS.start_ns if start_ns is None else start_ns,
        _ALWAYS.end_ns if end_ns is None else end_ns,
    )


def asked_span(
    settings: Settings,
    start_ns: int | None,
    end_ns: int | None,
    charges: Sequence[Timed],
    used: Span,
) -> Span:
    """The span asked for; an end that was not given is that of what has happened so far.

    UserError when nothing can have happened on that side of the end that was given.
    """
    wanted = wanted_span(start_ns, end_ns)
    if None not in (start_ns, end_ns):
        return wanted
    now_ns = settings.clock.now_ns()
    span = wanted.meet(*elapsed_span(charges, used, now_ns))
    if span.length_ns:
        return span
    if end_ns is not None:
        raise UserError(f"nothing is recorded before {utc_text(end_ns)}; give --from as well")
    if start_ns is None:
        return span  # nothing is recorded at all
    if start_ns >= now_ns:
        raise UserError(f"{utc_text(start_ns)} is yet to come; give --to as well")
    return Span(start_ns, now_ns)


def opened_books(folder: DataFolder, *, read_only: bool) -> BookStore:
    """The books in `folder`; DataFolderError when there are none."""
    if not folder.books.exists():
        raise no_folder(folder)
    return BookStore(folder.books, read_only=read_only)


def no_folder(folder: DataFolder) -> DataFolderError:
    """The refusal when there is no data folder yet."""
    return DataFolderError(
        f"no data folder {folder.path}; name it with --data, or begin with: "
        "inferworks books import FILE"
    )


def policy_of(settings: Settings, name: str) -> Policy:
    """The policy called `name`: one that ships, one in `policies/` of the data folder, or a path."""
    return load_policy(name, settings.folder.path / "policies")


Bought: TypeAlias = Callable[[Sequence[Segment], Facts, Span], Facts]
"""Of the facts in segments and beside them: at least the calls that others' APIs may have served."""


def gathered(
    settings: Settings,
    policy: str,
    pools_path: Path | None,
    span: Span,
    bought: Bought,
    *,
    validated: bool = True,
) -> Inputs:
    """Everything recorded for `span` and the rules in force: what a close seals.

    The facts that the lake has sealed are named by their segments. `bought` finds the calls whose cost
    is estimated.
    """
    charges, currency = charges_of(settings, span, validated=validated)
    moment = lake_reader(settings).moment(*around(span))
    rules = in_bundles_from(charges, rules_of(settings, pools_path))
    segments = tuple(sorted(segments_of(moment), key=lambda segment: segment.name))
    found = bought(segments, moment.unsealed, span)
    bills = as_divided(charges, found, rules, span)
    charges = with_more(charges, unbilled(settings, bills, found.usages, rules, span, currency))
    plans = plans_of(settings)
    return Inputs(
        span=span,
        currency=currency,
        charges=charges,
        facts=moment.unsealed,
        plans=plans,
        policy=policy_of(settings, policy),
        rules=rules,
        prepaid=prepaid_for(settings, plans, span, currency, rules),
        segments=segments,
    )


def in_bundles_from(charges: Charges, rules: Rules) -> Rules:
    """`rules` that say whether lines are put into bundles, as they are where they are too many to hold."""
    return msgspec.structs.replace(rules, bundles=BUNDLES) if isinstance(charges, Lines) else rules


def around(span: Span) -> Span:
    """`span` and the time before it in which a call that uses it may have been opened."""
    return Span(max(0, span.start_ns - LONGEST_CALL_NS), span.end_ns)


def lake_reader(settings: Settings) -> LakeReader:
    """The lake together with the journal of its folder."""
    return LakeReader(settings.lake(), settings.folder.journal)


def estimates_of(
    settings: Settings, start_ns: int | None, end_ns: int | None
) -> tuple[Accuracy, ...]:
    """Return the accuracy of the estimates of a span given by its ends."""
    folder = settings.folder
    wanted = wanted_span(start_ns, end_ns)
    lines = BillLines(folder, wanted, settings.currency)
    facts, rules = facts_of(settings, wanted), rules_of(settings, None)
    span = asked_span(settings, start_ns, end_ns, lines.times, whole_span((), facts))
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
    if not settings.folder.accounts.exists():
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
    if not settings.folder.accounts.exists():
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
    try:
        text = pools_path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the pools file {pools_path}: {error}") from error
    return msgspec.structs.replace(rules, pools=read_pools(text, pools_path.name))
