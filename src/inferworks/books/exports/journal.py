"""The books as journals for a general ledger: by day, under its accounts, exact or in cents.

Problem. The books hold an entry for each charge, to 10^-12. Some ledgers want exactly that; most want a
dozen lines a month, in cents, and each of their entries must balance to the cent. A million amounts of a
tenth of a cent, rounded one by one, come to zero; rounded in sum they are a thousand dollars.

Decision. Two forms of one value. *Exact*: every entry as posted. *Rounded*: the entries of a period are
first added up, exactly, into a few journals (its costs, its sales, the credit that moved on a day, the
corrections of each earlier period), by account; then each line is rounded, half to even, and the
difference of the journal stands on a line of its own, so that it balances. A line is within half a unit
of its exact amount, so the rounding lines of a period come to at most half a unit for each line that had
to be rounded (`Rounding.lines`).

An entry stands on the last day of its time, within its period. Days are those of UTC, or of another zone
for a company whose periods begin at midnight elsewhere; a period that begins within a day has no days of
its own in a ledger, and is refused.

Open periods may still change, and a ledger keeps its imports. So a journal states the day from which it
is provisional, and so does the text of each summed entry. That follows from the closed periods, not from
the clock: the same books give the same bytes.

Rejected. Rounding each entry (above); spreading the difference over the lines (then a line is not the
rounded figure of the statement); one journal a month (a correction could not be told from a cost).
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from inferworks.books.accounting.entries import (
    CREDITS,
    PAYABLE,
    RECEIVABLE,
    Entry,
    booked_within,
    moves_credit,
)
from inferworks.books.exports.chart_of_accounts import ROUNDING, Account, Chart
from inferworks.books.statement.statement import Statement
from inferworks.errors import UserError
from inferworks.money import format_pico, rounded, ten_to
from inferworks.units import NS_PER_SECOND

ALL_CLOSED: Final = 2**63 - 1
"""Closing moment of books whose journals have nothing provisional."""
EXACT: Final = 12
"""The decimals of an amount that is not rounded."""
_CHARGE: Final = re.compile(r"chg_[0-9a-f]+")


class Side(NamedTuple):
    """A line of a journal: whole units of 10^-decimals to an account, debits positive."""

    account: Account
    amount: int
    party: str = ""
    """The customer of a receivable, the supplier of a payable, where the ledger wants to know."""


class Dated(NamedTuple):
    """An entry on its day."""

    date: dt.date
    text: str
    sides: tuple[Side, ...]
    number: str = ""
    """Permanent name of a summed entry; at most 21 characters."""


class Rounding(NamedTuple):
    """Effect of rounding on journals; amounts in whole units of 10^-decimals."""

    lines: int
    """The lines that had to be rounded; each is at most half a unit off."""
    net: int
    """Sum of the rounding lines."""


NOTHING_ROUNDED = Rounding(0, 0)


class Journal(NamedTuple):
    """Balanced entries in the order of their days, amounts in units of 10^-decimals of one currency."""

    currency: str
    first: dt.date
    """First day of the journal."""
    entries: tuple[Dated, ...]
    decimals: int = EXACT
    rounding: Rounding = NOTHING_ROUNDED
    provisional_from: dt.date | None = None
    """First day that is not closed; None where all are."""

    @property
    def provisional(self) -> str:
        """Return the note on unclosed days, in a sentence; empty if all is closed."""
        if self.provisional_from is None:
            return ""
        return f"Provisional: what is from {self.provisional_from} on is not closed and may change."

    @property
    def remark(self) -> str:
        """Return the effect of rounding in a sentence; empty if nothing is rounded."""
        if self.decimals == EXACT:
            return ""
        lines, net = self.rounding
        most = format_pico(lines * ten_to(12 - self.decimals) // 2)
        return (
            f"Amounts are rounded to {self.decimals} decimals: {lines} lines, each by at most half a "
            f"unit; {self.text(net)} {self.currency} stands on rounding lines, at most {most}."
        )

    def text(self, amount: int) -> str:
        """`amount` as a decimal with as many places as the journal has."""
        return format_pico(amount * ten_to(12 - self.decimals), places=self.decimals)


class JournalForm(NamedTuple):
    """Form of the journals that a ledger takes."""

    chart: Chart | None = None
    """Chart of accounts of the ledger; None where it takes the accounts of the books."""
    zone: dt.tzinfo = dt.UTC
    """Time zone of its days."""
    closed_until_ns: int = ALL_CLOSED
    """End of the closed periods; later entries are provisional."""
    parties: bool = False
    """True if receivables and payables have a line for each customer and supplier."""
    most_lines: int = 10**9
    """Largest number of lines of a journal entry; one of more is divided."""

    def account(self, name: str) -> Account:
        """Return the ledger's account for the account `name` of the books. UserError without one."""
        account = Account(name) if self.chart is None else self.chart.account_of(name)
        if account is None:
            raise UserError(
                f"the chart of accounts has no row for {name}; add a row that matches it"
            )
        return account

    def day(self, at_ns: int) -> dt.date:
        """Return the day of a moment in the ledger's zone."""
        return _local(at_ns, self.zone).date()


BOOKS_FORM = JournalForm()
"""Accounts of the books, days of UTC, one line for each account."""


def exact_journal(statements: Sequence[Statement], form: JournalForm = BOOKS_FORM) -> Journal:
    """Return every entry of `statements` as posted. UserError when a period has no days of its own."""
    entries = [
        Dated(day, e.text, tuple(Side(form.account(p.account), p.amount_pico) for p in e.postings))
        for statement in statements
        for e, day in _dated(statement, form)
    ]
    return _journal(statements, form, entries)


def rounded_journal(
    statements: Sequence[Statement], decimals: int, form: JournalForm = BOOKS_FORM
) -> Journal:
    """The entries of `statements` added up by period, kind and account, and rounded to `decimals`.

    UserError when a period has no days of its own, or a journal cannot be divided.
    """
    entries: list[Dated] = []
    lines, net, numbers = 0, 0, Counter[tuple[dt.date, str]]()
    for statement in statements:
        names = dict(statement.names)
        mark = ", provisional" if statement.end_ns > form.closed_until_ns else ""
        for code, title, day, booked in _kinds(statement, form):
            for sums in _divided(booked, form, names):
                sides = [
                    Side(account, rounded(pico, decimals), party)
                    for (account, party), pico in sums.items()
                ]
                lines += sum(pico % ten_to(12 - decimals) != 0 for pico in sums.values())
                rest = -sum(side.amount for side in sides)
                net += rest
                if rest:
                    sides.append(Side(form.account(ROUNDING), rest))
                kept = sorted(
                    (side for side in sides if side.amount),
                    key=lambda side: (side.amount < 0, side.account, side.party),
                )
                numbers[day, code] += 1
                number = f"IW-{day:%Y%m%d}-{code}-{numbers[day, code]}"
                entries += [Dated(day, f"{title}{mark}", tuple(kept), number)] if kept else []
    return _journal(statements, form, entries, decimals, Rounding(lines, net))


def _journal(
    statements: Sequence[Statement],
    form: JournalForm,
    entries: Iterable[Dated],
    decimals: int = EXACT,
    rounding: Rounding = NOTHING_ROUNDED,
) -> Journal:
    """Return the journal of `entries`. UserError when `statements` have more than one currency."""
    currencies = {statement.currency for statement in statements}
    currencies |= {p.currency for s in statements for entry in s.entries for p in entry.postings}
    if len(currencies) != 1:
        raise UserError(
            f"a journal has one currency, these periods have {', '.join(sorted(currencies)) or 'none'}"
        )
    provisional = [s.start_ns for s in statements if s.end_ns > form.closed_until_ns]
    return Journal(
        currency=currencies.pop(),
        first=form.day(min(statement.start_ns for statement in statements)),
        entries=tuple(sorted(entries, key=lambda entry: entry.date)),
        decimals=decimals,
        rounding=rounding,
        provisional_from=form.day(min(provisional)) if provisional else None,
    )


_Sums = dict[tuple[Account, str], int]
"""Picounits by account and party."""


def _dated(statement: Statement, form: JournalForm) -> Iterator[tuple[Entry, dt.date]]:
    """The entries of a statement and their days."""
    for moment_ns in (statement.start_ns, statement.end_ns):
        local = _local(moment_ns, form.zone)
        if moment_ns % NS_PER_SECOND or local.time() != dt.time():
            raise UserError(
                f"{local:%Y-%m-%dT%H:%M:%S%z} is not midnight in {form.zone}, and a journal has whole "
                "days; give days without a time, or name the zone of the periods with --zone (zone)"
            )
    for entry in statement.entries:
        yield entry, form.day(booked_within(entry, statement.start_ns, statement.end_ns))


def _local(at_ns: int, zone: dt.tzinfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, zone)


class _Kind(NamedTuple):
    code: str
    title: str
    date: dt.date
    entries: Sequence[Entry]


def _kinds(statement: Statement, form: JournalForm) -> Iterator[_Kind]:
    """Return the entries of a statement by kind: each kind is a journal of its own."""
    first, after = form.day(statement.start_ns), form.day(statement.end_ns)
    name = f"{first} to {after - dt.timedelta(days=1)}"
    if first.day == 1 and after == (first + dt.timedelta(days=31)).replace(day=1):
        name = f"{first:%Y-%m}"
    last = form.day(max(statement.start_ns, statement.end_ns - 1))
    dated = list(_dated(statement, form))
    own = dated[: len(dated) - sum(len(c.entries) for c in statement.corrections)]
    costs = [entry for entry, _ in own if not _is_sale(entry)]
    yield _Kind("COST", f"Costs of {name}", last, costs)
    sales = [entry for entry, _ in own if _is_sale(entry) and not moves_credit(entry)]
    yield _Kind("SALE", f"Sales of {name}", last, sales)
    credit: dict[dt.date, list[Entry]] = defaultdict(list)
    for entry, day in own:
        if moves_credit(entry):
            credit[day].append(entry)
    for day, entries in sorted(credit.items()):
        yield _Kind("CRED", f"Credit bought and refunded on {day}", day, entries)
    for correction in statement.corrections:
        title = f"Corrections of {correction.period.name}, booked in {name}"
        yield _Kind("CORR", title, last, correction.entries)


def _is_sale(entry: Entry) -> bool:
    """Return True if `entry` is between the operator and a customer."""
    return any(posting.account.startswith((RECEIVABLE, CREDITS)) for posting in entry.postings)


def _divided(
    entries: Iterable[Entry], form: JournalForm, names: Mapping[str, str]
) -> Iterator[_Sums]:
    """The sums of `entries`, in as few parts as have room for a rounding line; every part balances.

    The entries of a charge stay together, so that its pool is emptied. `names` are those of customers.
    """
    groups: dict[object, list[Entry]] = defaultdict(list)
    for number, entry in enumerate(entries):
        charge = _CHARGE.search(entry.text)
        groups[charge[0] if charge else number].append(entry)
    most = form.most_lines - 1
    part: _Sums = {}
    for group in groups.values():
        sums: _Sums = defaultdict(int)
        for posting in (posting for entry in group for posting in entry.postings):
            party = ""
            if form.parties:
                customer = posting.account.removeprefix(f"{RECEIVABLE}:")
                supplier = posting.account.removeprefix(f"{PAYABLE}:")
                if customer != posting.account:
                    party = names.get(customer, customer)
                elif supplier != posting.account:
                    party = supplier
            sums[form.account(posting.account), party] += posting.amount_pico
        sums = {key: pico for key, pico in sums.items() if pico}
        if len(sums) > most:
            raise UserError(f"entry {group[0].text!r} alone has more than {most} lines")
        if len(part.keys() | sums.keys()) > most:
            yield part
            part = {}
        for key, pico in sums.items():
            part[key] = part.get(key, 0) + pico
    if part:
        yield part
