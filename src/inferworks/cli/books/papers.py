"""What a statement is drawn from: charges, facts, plans and rules, opened for reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
import msgspec

from inferworks.accounts.directory import ALONE, Directory, directory_of
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.accounting.policy import Policy, load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.accruals.api_estimates import Accuracy
from inferworks.books.allocation.departments import Departments, read_departments
from inferworks.books.allocation.pools import read_pools
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span, Timed
from inferworks.books.closing.inputs import Inputs
from inferworks.books.lines import Charges, Lines, with_more
from inferworks.books.repository.store import BookStore
from inferworks.books.statement.computation import BUNDLES, Computation, Rules, shipped_rules
from inferworks.books.statement.statement import (
    Statement,
    as_divided,
    build_statement,
    checked,
    elapsed_span,
    whole_span,
)
from inferworks.cli.books.accruing import unbilled
from inferworks.cli.books.bill_lines import BillLines
from inferworks.cli.books.billing import billing_table
from inferworks.cli.books.estimating import estimated
from inferworks.cli.books.formatting import moment_text
from inferworks.cli.books.prepaid import prepaid_of
from inferworks.cli.options import read_config
from inferworks.clock import SystemClock
from inferworks.config import Config
from inferworks.errors import BooksError, DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.archive.reader import LakeReader, segments_of
from inferworks.meter.facts import Facts, in_force
from inferworks.meter.lakes.detect import lake_at
from inferworks.units import NS_PER_SECOND

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.analysis.single_lines import Singles

_ALWAYS = Span(0, 2**63 - 1)
LONGEST_CALL_NS = 86_400 * NS_PER_SECOND
"""How long before a span its calls may have been opened and still use machines in it."""


def drawn_up(
    config: Config,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Statement:
    """The statement that the command line asks for."""
    return build_statement(worked_out(config, policy, pools_path, start_ns, end_ns))


def worked_out(
    config: Config,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Computation:
    """The validated workings of the span that the command line asks for."""
    return worked_out_of(papers_asked(config, policy, pools_path, start_ns, end_ns))


def papers_asked(
    config: Config,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Inputs:
    """What the span that the command line asks for is drawn from, all its facts at hand."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.path.is_dir():
        raise no_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    facts, plans = facts_of(config, folder, wanted), plans_of(folder)
    lines = BillLines(folder, wanted, config.books.currency)
    span = asked_span(start_ns, end_ns, lines.times, whole_span((), facts))
    currency = lines.currency
    try:
        charges = lines.charges()
        rules = in_bundles_from(charges, rules_of(config, pools_path))
        bills = as_divided(charges, facts, rules, span)
        charges = with_more(charges, unbilled(config, bills, facts.usages, rules, span, currency))
        prepaid = prepaid_for(config, folder, plans, span, currency, rules)
        drawn_under = policy_of(config, policy)
        plans_then = tuple(plans)
        return Inputs(span, currency, charges, facts, plans_then, drawn_under, rules, prepaid)
    except BooksError as error:
        raise click.ClickException(f"no statement can be drawn up: {error}") from error


def span_of(config: Config, start_ns: int | None, end_ns: int | None) -> Span:
    """The span that the command line asks for; an end that was not given is that of what has happened."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.path.is_dir():
        raise no_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    if None in (start_ns, end_ns):
        lines = BillLines(folder, wanted, config.books.currency)
        used = whole_span((), facts_of(config, folder, wanted))
        return asked_span(start_ns, end_ns, lines.times, used)
    return wanted


def worked_out_of(papers: Inputs) -> Computation:
    """The validated workings of `papers` that have all their facts at hand."""
    try:
        return checked(
            papers.charges,
            papers.facts,
            papers.plans,
            papers.policy,
            papers.currency,
            papers.span,
            papers.rules,
            papers.prepaid,
        )
    except BooksError as error:
        raise click.ClickException(f"no statement can be drawn up: {error}") from error


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
    start_ns: int | None, end_ns: int | None, charges: Sequence[Timed], used: Span
) -> Span:
    """The span asked for; an end that was not given is that of what has happened so far.

    UserError when nothing can have happened on that side of the end that was given.
    """
    wanted = wanted_span(start_ns, end_ns)
    if None not in (start_ns, end_ns):
        return wanted
    now_ns = SystemClock().now_ns()
    span = wanted.meet(*elapsed_span(charges, used, now_ns))
    if span.length_ns:
        return span
    if end_ns is not None:
        raise UserError(f"nothing is recorded before {moment_text(end_ns)}; give --from as well")
    if start_ns is None:
        return span  # nothing is recorded at all
    if start_ns >= now_ns:
        raise UserError(f"{moment_text(start_ns)} is yet to come; give --to as well")
    return Span(start_ns, now_ns)


def opened_books(config_path: Path | None, data_path: Path | None, *, read_only: bool) -> BookStore:
    """The books in the data folder that the options name; DataFolderError when there are none."""
    folder = DataFolder(Path(read_config(config_path, data_path).data.folder))
    if not folder.books.exists():
        raise no_folder(folder)
    return BookStore(folder.books, read_only=read_only)


def no_folder(folder: DataFolder) -> DataFolderError:
    """The refusal when there is no data folder yet."""
    return DataFolderError(
        f"no data folder {folder.path}; name it with --data, or begin with: "
        "inferworks books import FILE"
    )


def policy_of(config: Config, name: str) -> Policy:
    """The policy called `name`: one that ships, one in `policies/` of the data folder, or a path."""
    return load_policy(name, Path(config.data.folder) / "policies")


Bought: TypeAlias = Callable[[Sequence[Segment], Facts, Span], Facts]
"""Of the facts in segments and beside them: at least the calls that others' APIs may have served."""


def gathered(
    config: Config,
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
    folder = DataFolder(Path(config.data.folder))
    charges, currency = charges_of(folder, span, config.books.currency, validated=validated)
    moment = lake_reader(config, folder).moment(*around(span))
    rules = in_bundles_from(charges, rules_of(config, pools_path))
    segments = tuple(sorted(segments_of(moment), key=lambda segment: segment.name))
    found = bought(segments, moment.unsealed, span)
    bills = as_divided(charges, found, rules, span)
    charges = with_more(charges, unbilled(config, bills, found.usages, rules, span, currency))
    plans = plans_of(folder)
    return Inputs(
        span=span,
        currency=currency,
        charges=charges,
        facts=moment.unsealed,
        plans=tuple(plans),
        policy=policy_of(config, policy),
        rules=rules,
        prepaid=prepaid_for(config, folder, plans, span, currency, rules),
        segments=segments,
    )


def in_bundles_from(charges: Charges, rules: Rules) -> Rules:
    """`rules` that say whether lines are put into bundles, as they are where they are too many to hold."""
    return msgspec.structs.replace(rules, bundles=BUNDLES) if isinstance(charges, Lines) else rules


def around(span: Span) -> Span:
    """`span` and the time before it in which a call that uses it may have been opened."""
    return Span(max(0, span.start_ns - LONGEST_CALL_NS), span.end_ns)


def lake_reader(config: Config, folder: DataFolder) -> LakeReader:
    """The lake of `folder` together with its journal."""
    return LakeReader(lake_at(config.lake.url or str(folder.lake)), folder.journal)


def estimates_of(config: Config, start_ns: int | None, end_ns: int | None) -> tuple[Accuracy, ...]:
    """How the estimates of the span that the command line asks for compare with the bills."""
    folder = DataFolder(Path(config.data.folder))
    wanted = wanted_span(start_ns, end_ns)
    lines = BillLines(folder, wanted, config.books.currency)
    facts, rules = facts_of(config, folder, wanted), rules_of(config, None)
    span = asked_span(start_ns, end_ns, lines.times, whole_span((), facts))
    bills = as_divided(lines.charges(), facts, rules, span)
    return estimated(folder, bills, facts.usages, rules, span, lines.currency).accuracy


def charges_of(
    folder: DataFolder, span: Span, currency: str, *, validated: bool = True
) -> tuple[Charges, str]:
    """The charges that meet `span`, and their currency; none when nothing was imported yet.

    Where they are `validated`, BooksError when they are not what was imported (theorems 16 and 17).
    """
    lines = BillLines(folder, span, currency)
    return lines.charges(validated=validated), lines.currency


def facts_of(config: Config, folder: DataFolder, span: Span) -> Facts:
    """The meter's facts for `span`, sealed or not; none when nothing was ever served here."""
    return in_force(lake_reader(config, folder).facts(*around(span)))


def plans_of(folder: DataFolder) -> list[PricePlan]:
    """Every price plan; none when there are no customers yet."""
    if not folder.accounts.exists():
        return []
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        return accounts.plans()


def prepaid_for(
    config: Config,
    folder: DataFolder,
    plans: list[PricePlan],
    span: Span,
    currency: str,
    rules: Rules,
) -> Prepaid:
    """What is known of prepaid credit."""
    return prepaid_of(
        folder,
        lambda past: facts_of(config, folder, past),
        plans,
        span,
        currency,
        rules.customers,
    )


def customers_of(config: Config) -> Directory:
    """As whom customers count, and what they are called."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.accounts.exists():
        return ALONE
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        return directory_of(accounts.facts())


def departments_of(config: Config) -> Departments:
    """What the house calls its departments. ConfigError when one of the names means nothing."""
    return read_departments(config.books.departments, config.books.department_tags)


def rules_of(config: Config, pools_path: Path | None) -> Rules:
    """The house's own names, and the pools in the file at `pools_path`, else the shipped ones."""
    rules = msgspec.structs.replace(
        shipped_rules(),
        departments=departments_of(config),
        recoverable_taxes=config.books.recoverable_taxes,
        billing=billing_table(config),
        customers=customers_of(config),
    )
    if pools_path is None:
        return rules
    try:
        text = pools_path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the pools file {pools_path}: {error}") from error
    return msgspec.structs.replace(rules, pools=read_pools(text, pools_path.name))


def moments(from_text: str | None, to_text: str | None) -> tuple[int | None, int | None]:
    """The two ends of the span asked for."""
    start_ns, end_ns = _moment(from_text), _moment(to_text)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise click.BadParameter(f"--to {to_text} must be after --from {from_text}")
    return start_ns, end_ns


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment_ns(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from error
