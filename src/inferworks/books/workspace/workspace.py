"""Workspace: the accounting service over one data folder, from its stores to statements and closes.

    stores -> inputs -> statement | bridge | explanation | comparison | close | export

A command line, an admin API and a console call the same methods. What a reader should know beside a result
is a note: a sentence, given to the function that the workspace was opened with.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from inferworks.accounts.author import current_user
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import customer_id
from inferworks.accounts.directory import Directory
from inferworks.books.accounting.prepaid import Wallet
from inferworks.books.accruals.api_estimates import Accuracy
from inferworks.books.allocation.step_down import Received, received
from inferworks.books.analysis.breakdown import USUAL_BOUNDS, Bounds
from inferworks.books.analysis.bridge import Bridge, bridge
from inferworks.books.analysis.budget import COLUMNS, Against, against, read_budget
from inferworks.books.analysis.comparatives import WORDS, Comparison, beside, comparison
from inferworks.books.analysis.explain import Explanation, explain, parse_subject
from inferworks.books.analysis.forecast import DAY_NS, Forecast, forecast
from inferworks.books.analysis.method_comparison import Distances, distances
from inferworks.books.analysis.policy_comparison import Comparison as PolicyComparison
from inferworks.books.analysis.policy_comparison import compare
from inferworks.books.analysis.unit_economics import Economics, economics
from inferworks.books.bills.base import BillFile
from inferworks.books.bills.detect import open_ours
from inferworks.books.calendar.moments import parse_moment_ns, utc_text
from inferworks.books.calendar.span import Span
from inferworks.books.charge import is_provisional
from inferworks.books.closing.audit import audit, closes_of, contains
from inferworks.books.closing.close import (
    Closed,
    CloseRequest,
    close_period,
    reopen_period,
)
from inferworks.books.closing.ledger import standing
from inferworks.books.closing.prior_period import (
    LaterCorrection,
)
from inferworks.books.closing.seal import Close, Reopening, sha256_of
from inferworks.books.deliveries.record import Import, QuarantineQuestion, State
from inferworks.books.exports.base import Books, ExportFile, books_of
from inferworks.books.exports.chart_of_accounts import Chart, load_chart
from inferworks.books.exports.formats import IMPORTED_LEDGERS, JOURNALS, exporter
from inferworks.books.exports.journal import EXACT, Journal
from inferworks.books.period import Period, Periods, declared, late_texts
from inferworks.books.statement.computation import Computation, accrued_charges
from inferworks.books.statement.statement import Statement
from inferworks.books.workspace.credit import (
    CreditEntry,
    enter_credit,
    void_credit,
    wallets_of,
)
from inferworks.books.workspace.default_period import running_period, select_period
from inferworks.books.workspace.gathering import (
    computation_of,
    customers_of,
    estimates_of,
    first_record_ns,
    open_store,
    policy_of,
    singles_of,
    span_of,
)
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.journals import CENTS, journal_files, periods_in
from inferworks.books.workspace.late_lines import calendar_of, closed_time
from inferworks.books.workspace.ledgers import check_folder
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.statements import NOW, Statements, with_provisional_note
from inferworks.choices import one_of, path_of, within
from inferworks.errors import BooksError, UserError
from inferworks.extras import install, is_installed

if TYPE_CHECKING:  # the readers of bills take their time to load
    from inferworks.books.workspace.import_result import ImportResult
    from inferworks.books.workspace.importing import Watch
    from inferworks.books.workspace.reconciliation import Reconciliation

SELLER = "Inferworks"
"""The issuer of customers' bills, where none is named."""


_HASH = re.compile("[0-9a-f]{12,64}")


class Verified(NamedTuple):
    """The result of an audit."""

    findings: list[str]
    """Differences from what was sealed, a sentence each."""
    closes: int
    """Closes that were checked; 0 where anything was found."""


class Voided(NamedTuple):
    """An import that was voided."""

    record: Import
    """The import as it was in force."""
    lines: int
    """Lines that no longer count."""
    late: list[str]
    """A sentence for each closed period that is corrected in the open one."""


class Forecasted(NamedTuple):
    """The forecast of a period, and what it is made of."""

    period: Period
    until_ns: int
    """End of the records that the forecast is made from."""
    used_ns: int
    """End of the last recorded usage; 0 without any."""
    statement: Statement
    """The statement until then."""
    forecast: Forecast

    @property
    def notes(self) -> list[str]:
        """Notes on the forecast; one of them where a day or more counts as unused after earlier usage."""
        notes = list(self.forecast.notes)
        if 0 < self.used_ns <= self.until_ns - DAY_NS:
            notes.append(
                f"Nothing is recorded as used after {utc_text(self.used_ns)}, and the rate counts that as "
                "no use: where records are still to come, give the end of complete ones with --until."
            )
        return notes


class Workspace(Statements):
    """The accounting service of one data folder.

    A query names a period or two moments, and the rules that its statement is computed under. Amounts are
    integers of 10^-12 of the currency. BooksError when records contradict each other, UserError when there
    is no such period, import, policy or figure.

    >>> books = open_books("inferworks-data")
    >>> october = books.query("2025-10")
    >>> statement, bridge = books.bridge(october)
    >>> [row.name for row in statement.by("customer")][:3]
    ['acme', 'burns', 'corvid']
    >>> format_pico(bridge.steps[0].margin_pico)
    '60205.423949954839'
    >>> books.explain("customer:acme", october).cost.parts[0].label
    'cost-of-revenue'
    >>> [file.name for file in books.export("csv", october)][:3]
    ['charges.csv', 'parts.csv', 'revenue.csv']
    >>> [close.period.name for close, sha256 in books.closes()]
    ['2025-09', '2025-10']
    >>> header = "id,period,natural_class,amount,currency,description,department"
    >>> with open("rent.csv", "w") as file:
    ...     print(header, "V-1,2025-11,other,3100.00,USD,Rent,office", sep="\\n", file=file)
    >>> result = books.import_bills("rent.csv")
    >>> [(file.file, file.kind, file.accepted, file.amount) for file in result.files], result.refused
    ([('rent.csv', 'voucher', 1, '3100.00')], ())
    """

    def query(
        self,
        period: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        policy: str | None = None,
        pools_path: Path | None = None,
        *,
        whole: bool = False,
    ) -> Query:
        """Return the query for a period, for dates, or for the newest period with records.

        With `whole` a running period is meant to its end. UserError when a period is named beside dates,
        when the dates hold no time, and for a policy that there is not.
        """
        if period is not None and (start_ns, end_ns) != (None, None):
            raise UserError("name a period or dates, not both")
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise UserError(f"start_ns: {start_ns} is not before end_ns: {end_ns}")
        if policy is not None:
            policy_of(self.settings, policy)
        selected = select_period(self.settings, period, start_ns, end_ns, whole=whole)
        for note in selected.notes:
            self._note(note)
        return Query(selected.name, start_ns, end_ns, policy, pools_path, selected.provisional)

    # Costs

    def import_bills(
        self,
        paths: str | Path | Iterable[str | Path],
        options: ImportOptions | None = None,
        watch: Watch | None = None,
    ) -> ImportResult:
        """Import bills, time sheets, payroll, schedules, vouchers, rates and metered storage.

        A path is a file, a folder, a pattern, or the URL of an object store. Each file is imported whole
        or not at all, and the same lines twice count once. What was not imported is `refused` in the
        result, with what to do; `raise_for_refused` makes a BillError of it. `watch` shows the progress.
        """
        from inferworks.books.workspace.importing import import_files, unwatched

        words = [paths] if isinstance(paths, (str, Path, bytes)) else paths
        names = [word if isinstance(word, str) else str(path_of("paths", word)) for word in words]
        return import_files(self.settings, names, options or ImportOptions(), watch or unwatched)

    def draft_mapping(self, path: str | Path) -> str:
        """Return a mapping, as TOML, for a file with unknown columns; BillError when it needs none."""
        from inferworks.books.workspace.mapping_draft import draft_mapping

        return draft_mapping(path_of("path", path))

    def imports(self, *, every: bool = False) -> list[Import]:
        """Return the imports in force; with `every` those too that were superseded, voided or copies.

        DataFolderError when there is no data folder.
        """
        if not self._has_books():
            return []
        with open_store(self.settings.folder, read_only=True) as store:
            return [one for one in store.imports() if every or one.state is State.IN_FORCE]

    def import_of(self, number: int) -> Import:
        """Return the import with that number; UserError when there is none."""
        for one in self.imports(every=True):
            if one.number == number:
                return one
        raise UserError(f"there is no import {number}; inferworks books imports list has them")

    def void_import(self, number: int, reason: str) -> Voided:
        """Void an import: its lines count no more, and are reversed where their period is closed.

        It stays on record with the author and the reason. UserError without a reason, or when the import
        is not in force.
        """
        if not reason.strip():
            raise UserError(f"import {number}: say why it is voided, with --reason (reason)")
        settings = self.settings
        calendar = calendar_of(settings.folder)
        with open_store(settings.folder, read_only=False) as store:
            one, changed = store.void(
                number,
                reason.strip(),
                closed_time(calendar),
                current_user(),
                settings.clock.now_ns(),
            )
        return Voided(one, changed.gone, late_texts(changed.late, calendar))

    def questions(self, *, settled: bool = False) -> list[QuarantineQuestion]:
        """Return the questions of files in quarantine; with `settled` the answered ones too.

        DataFolderError when there is no data folder.
        """
        if not self._has_books():
            return []
        with open_store(self.settings.folder, read_only=True) as store:
            return store.questions(settled=settled)

    def settle(self, number: int, reason: str) -> QuarantineQuestion:
        """Settle a question: its file stays out, and no close waits for it.

        UserError without a reason, or when the question is not open.
        """
        if not reason.strip():
            raise UserError(
                f"question {number}: say why its file stays out, with --reason (reason)"
            )
        by, at_ns = current_user(), self.settings.clock.now_ns()
        with open_store(self.settings.folder, read_only=False) as store:
            question = store.settle(number, reason.strip(), by, at_ns)
        return question._replace(settled_ns=at_ns, by=by, reason=reason.strip())

    def reconcile(
        self,
        invoices: Path | None = None,
        period: str | None = None,
        options: ImportOptions | None = None,
    ) -> Reconciliation:
        """Compare the imported bills with a file of invoices, and list the missing bills of a month.

        `options` name the formats of the file. UserError when neither is given.
        """
        from inferworks.books.workspace.reconciliation import reconcile

        spelling = (options or ImportOptions()).spelling
        return reconcile(self.settings, invoices, period, spelling)

    # Prepaid credit

    def wallets(self, at_ns: int | None = None) -> list[Wallet]:
        """Return the prepaid credit of all customers who had some by a moment: bought, used, left.

        DataFolderError when there are no customers.
        """
        return wallets_of(self.settings, self.settings.clock.now_ns() if at_ns is None else at_ns)

    def credits(self, customer: str) -> list[Credit]:
        """Return a customer's purchases and refunds of credit by date, voided ones too.

        UserError when there is no such customer.
        """
        name = customer_id(customer)
        with self.settings.accounts() as accounts:
            if not accounts.has_customer(name):
                raise UserError(f"there is no customer {name}; see: inferworks customers list")
            found = [*accounts.credits(), *accounts.voided_credits()]
        own = (one for one in found if one.customer == name)
        return sorted(own, key=lambda one: (one.bought_ns, one.id))

    def enter_credit(
        self,
        customer: str,
        amount_pico: int,
        paid_ns: int | None = None,
        expires: dt.date | None = None,
        reason: str = "",
    ) -> CreditEntry:
        """Enter a purchase of credit or, with a negative amount, a refund of at most what is left.

        It is paid now where no moment is given, and expires at the beginning of a day of the customer's
        time zone. UserError for a payment that is yet to come or in a closed period, for a customer who is
        unknown or pays in another currency than that of the books, and when nothing is left to refund.
        """
        name = customer_id(customer)
        return enter_credit(self.settings, name, amount_pico, paid_ns, expires, reason)

    def void_credit(self, credit_id: str, reason: str) -> Credit:
        """Void a purchase or refund of credit, which stays on record.

        UserError when there is none of that id, or its period is closed.
        """
        return void_credit(self.settings, credit_id, reason)

    # Analyses

    def bridge(self, query: Query = NOW) -> tuple[Statement, Bridge]:
        """Return the statement, and the bridge from its revenue to the fully loaded margin, by pool."""
        statement = self.statement(query)
        return statement, bridge(statement)

    def economics(self, query: Query = NOW) -> tuple[Statement, Economics]:
        """Return the statement, the cost of one more customer, and where the break-even lies."""
        statement = self.statement(query)
        return statement, economics(statement)

    def explain(
        self, subject: str, query: Query = NOW, bounds: Bounds = USUAL_BOUNDS
    ) -> Explanation:
        """Break a figure, such as `customer:acme`, down to the bill lines and calls behind it.

        UserError when nothing of that name is there.
        """
        wanted, inputs = parse_subject(subject), self.inputs(query)
        computation = computation_of(inputs)
        singles = singles_of(computation, inputs) or None
        beside = self._adjustments(query, computation.policy)
        return explain(computation, wanted, bounds, beside, singles)

    def compare(
        self, one: str, other: str, query: Query = NOW
    ) -> tuple[Computation, PolicyComparison]:
        """Return the computation, and its figures under two policies. UserError for an unknown policy."""
        first, second = (policy_of(self.settings, name) for name in (one, other))
        computation = self.computation(query)
        beside = self._adjustments(query, computation.policy)
        return computation, compare(computation, first, second, beside)

    def methods(self, query: Query = NOW) -> tuple[Distances, tuple[Received, ...]]:
        """Return the distances between the methods of allocation, and what pools received of pools."""
        computation = self.computation(query)
        return distances(computation), received(computation.allocated, computation.pools)

    def estimates(
        self, start_ns: int | None = None, end_ns: int | None = None
    ) -> tuple[Accuracy, ...]:
        """Return the estimated costs of providers' APIs beside their bills."""
        return estimates_of(self.settings, start_ns, end_ns)

    def beside(
        self, query: Query, now: Statement, name: str, engine: str | None = None
    ) -> Comparison:
        """Return `now`, the statement of `query`, beside that of another time, with the causes of change.

        `name` is a period, or previous, year-before or year-to-date.
        """
        if name not in WORDS:
            then = query._replace(period=name, start_ns=None, end_ns=None, provisional="")
            return comparison(now, self.statement(then, engine), name)
        name = beside(Span(now.start_ns, now.end_ns), name).name
        first, between, last = name.partition("..")
        then = query._replace(period=name, start_ns=None, end_ns=None, provisional="")
        if between:  # of any length, so it may hold closed months: as all stands now
            ends = (parse_moment_ns(first), parse_moment_ns(last))
            then = then.between(*ends)
        return comparison(now, self.statement(then, engine), name)

    def against(self, statement: Statement, budget: Path) -> Against:
        """Return `statement` beside the budget in a file: a CSV of period, line and amount.

        BillError with every bad cell.
        """
        return self._against(statement, open_ours(budget, COLUMNS))

    def _against(self, statement: Statement, budget: BillFile) -> Against:
        known, named = self.settings.departments, self.periods().named
        return against(statement, read_budget(budget, named, known, statement.currency))

    def forecast(
        self,
        period: str | None = None,
        until_ns: int | None = None,
        policy: str | None = None,
        pools_path: Path | None = None,
    ) -> Forecasted:
        """Return the forecast of a running period. UserError when it is over or has not begun."""
        whole, so_far, used_ns = running_period(self.settings, period, until_ns)
        query = Query(so_far.name, policy=policy, pools_path=pools_path)
        statement, computation = self.statement(query), self.computation(query)
        inputs = RecordedSource(self.settings, policy, pools_path).inputs(whole.span)
        bills = (charge for charge in inputs.charges if not is_provisional(charge))
        rest = Span(so_far.end_ns, whole.end_ns)
        ahead = accrued_charges(
            bills, rest, inputs.currency, inputs.rules, computation.policy.basis
        )
        found = forecast(statement, computation, ahead.charges, whole.end_ns)
        return Forecasted(whole, so_far.end_ns, used_ns, statement, found)

    # Periods

    def periods(self) -> Periods:
        """Return the calendar: months, declared periods, and which are closed."""
        with self._ledger() as ledger:
            return ledger.periods()

    def known_periods(self) -> list[Period]:
        """Return the closed periods, the declared ones, and those that are open now, in order."""
        calendar = self.periods()
        known = {*calendar.declared, *calendar.closed}
        known.add(calendar.first_open(self.settings.clock.now_ns()))
        if calendar.closed_until_ns is not None:
            known.add(calendar.first_open(calendar.closed_until_ns))
        return sorted(known)

    def declare(self, name: str, start_ns: int, end_ns: int) -> None:
        """Declare a period that is no calendar month. UserError when it overlaps another."""
        with self._ledger(read_only=False) as ledger:
            ledger.declare(declared(name, start_ns, end_ns, ledger.periods()))

    def closes(self) -> list[tuple[Close, str]]:
        """Return the closes that stand, each with its SHA-256, oldest first."""
        with self._ledger() as ledger:
            hashes = [sha256_of(raw) for _, raw in ledger.chain()]
            return [(close, hashes[close.number]) for close in standing(ledger.records())]

    def close(
        self,
        period: str,
        *,
        accept: str = "",
        begin: bool = False,
        policy: str | None = None,
        pools_path: Path | None = None,
    ) -> Closed:
        """Close a period: compute its statement, check it, and seal it with its inputs.

        `accept` is a reason to leave out what is in quarantine, or to close a period in which nothing is
        recorded; with `begin` the books begin here. UserError without such a reason and when an earlier
        period is open, BooksError when an invariant does not hold.
        """
        settings, now_ns = self.settings, self.settings.clock.now_ns()
        with self._ledger(read_only=False) as ledger, settings.folder.keep_lake(changing=False):
            wanted = ledger.periods().named(period)
            if now_ns < wanted.start_ns:
                begins = utc_text(wanted.start_ns)
                raise UserError(
                    f"{period} has not begun: it begins {begins} (UTC); close it when it is over"
                )
            source = RecordedSource(settings, policy, pools_path)
            try:
                order = CloseRequest(wanted, current_user(), now_ns, accept.strip(), begin)
                closed = close_period(ledger, source, order)
            except BooksError as error:
                raise BooksError(f"{period} cannot be closed: {error}") from error
        if now_ns < wanted.end_ns:
            self._note("the period has not ended; what is still to come will be late.")
        return closed

    def verify(self, period: str | None = None, head: str | None = None) -> Verified:
        """Check the chain of closes, and recompute every closed period, or one.

        `head` is a hash noted earlier, or its first digits, 12 or more; it must be in the chain. UserError
        when it is none, and when the period was never closed.
        """
        noted = None if head is None else head.strip().lower()
        if noted is not None and not _HASH.fullmatch(noted):
            raise UserError(
                f"head: {head!r} is no hash; give the 64 digits of one, or the first 12 or more"
            )
        with self._ledger() as ledger:
            source = RecordedSource(self.settings, validated=False)  # what is wrong is a finding
            wanted = ledger.periods().named(period) if period else None
            found = [str(finding) for finding in audit(ledger, source, wanted)]
            closes = closes_of(ledger.records(), wanted)
            if wanted is not None and not found and not closes:
                raise UserError(f"period {period} was never closed; there is nothing to verify")
            if noted is not None and not contains(ledger, noted):
                found.append(f"the ledger has no record with the hash {head}")
            found = found or source.misread()
            count = 0 if found else len(closes_of(ledger.records(), None))
        return Verified(found, count)

    def reopen(self, period: str, reason: str) -> tuple[Reopening, str]:
        """Reopen the period that was closed last; return the record of that and its SHA-256."""
        at_ns = self.settings.clock.now_ns()
        with self._ledger(read_only=False) as ledger:
            wanted = ledger.periods().named(period)
            return reopen_period(ledger, wanted, reason=reason, by=current_user(), at_ns=at_ns)

    # Exports

    def books(self, query: Query = NOW, seller: str = SELLER) -> Books:
        """Return the books, ready to be written out; a closed period as it was sealed."""
        inputs = self.inputs(query)
        computation = computation_of(inputs)
        singles = singles_of(computation, inputs)
        if query.period is None:
            return books_of(computation, seller, singles)
        statement = with_provisional_note(self._defined(query, None), query)
        later = self.later(query)
        return Books(
            statement, computation.allocated, inputs.policy, seller, later, singles=singles
        )

    def export(
        self,
        form: str,
        query: Query = NOW,
        seller: str = SELLER,
        beside: str | None = None,
        budget: Path | None = None,
    ) -> Sequence[ExportFile]:
        """Return the files of the books in a format: focus, csv, parquet, json or html.

        `write_files` of `inferworks.books.exports.base` puts them on disk; `file.write(sink)` writes one
        into a sink opened for bytes. Only html, the report, takes another time and a budget; see `beside`
        and `against`. UserError for a format that there is not.
        """
        # made and opened first, so that what is wrong is refused before anything is computed
        made = exporter(form)
        plan = None if budget is None else open_ours(budget, COLUMNS)
        books = self.books(query, seller)
        now = books.statement
        books = msgspec.structs.replace(
            books,
            beside=None if beside is None else self.beside(query, now, beside),
            budget=None if plan is None else self._against(now, plan),
        )
        self.note_corrections(query, books.later)
        if form == "focus" and not is_installed("pyarrow"):
            self._note(f"FOCUS is exported as CSV only; for Parquet too: {install('parquet')}")
        return made.files(books)

    def export_journal(
        self,
        form: str,
        query: Query = NOW,
        chart: Chart | None = None,
        decimals: int | None = None,
        zone: dt.tzinfo = dt.UTC,
    ) -> tuple[Journal, Sequence[ExportFile]]:
        """Return the journal for a general ledger, and its files in a format.

        The formats are hledger, beancount, quickbooks, xero and netsuite. Without `chart` the configured
        chart of accounts is used, or the shipped one. Amounts are exact, or rounded to `decimals`: at most
        12, and 2 (also the default) for quickbooks, xero and netsuite. UserError for others.
        """
        one_of("form", form, JOURNALS)
        if decimals is not None:
            within("decimals", decimals, 0, CENTS if form in IMPORTED_LEDGERS else EXACT)
        if chart is None and self.settings.chart is not None:
            chart = load_chart(self.settings.chart)
        statements = self._statements(query)
        self.note_corrections(query, self.later(query))
        until_ns = self.periods().closed_until_ns
        closed_ns = -(2**63) if until_ns is None else until_ns
        return journal_files(form, statements, chart, decimals, zone, closed_ns)

    def note_corrections(self, query: Query, later: Sequence[LaterCorrection]) -> None:
        """Note the periods with corrections of a closed one, for a result that leaves them out."""
        if later:
            where = ", ".join(sorted({one.booked_in.name for one in later}))
            self._note(f"{query.period} is as it was sealed; its corrections are in {where}.")

    def customers(self) -> Directory:
        """Return the directory of customers: their names, and those merged into others."""
        return customers_of(self.settings)

    def _has_books(self) -> bool:
        """Return True if anything was imported; DataFolderError when there is no data folder."""
        check_folder(self.settings.folder)
        return self.settings.folder.books.exists()

    def _statements(self, query: Query) -> tuple[Statement, ...]:
        """Return the statements of a period, or of all periods between two dates."""
        whole = query._replace(start_ns=None, end_ns=None)
        if query.period is not None:
            return (self._defined(whole, None),)
        span = span_of(self.settings, query.start_ns, query.end_ns)
        first_ns = first_record_ns(self.settings)
        recorded = span.meet(span.end_ns if first_ns is None else first_ns, span.end_ns)
        calendar = self.periods()
        statements = [
            self._defined(whole._replace(period=period.name), None)
            if is_whole
            else self._defined(whole, period.span)
            for period, is_whole in periods_in(calendar, recorded, query.start_ns, query.end_ns)
        ]
        if (
            query.end_ns is None
            and statements
            and statements[-1].end_ns == calendar.closed_until_ns
        ):
            following = calendar.first_open(statements[-1].end_ns)
            booking = self._defined(whole._replace(period=following.name), None)
            statements += [booking] if booking.corrections else []
        nothing = Span(span.start_ns, span.start_ns)
        return tuple(statements) or (self._defined(whole, nothing),)
