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


class Journal(NamedTuple):
    """Balanced entries in the order of their days, amounts in units of 10^-decimals of one currency."""

    currency: str
    first: dt.date
    """First day of the journal."""
    entries: tuple[Dated, ...]
    decimals: int = EXACT
    rounding: Rounding = Rounding(0, 0)
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


def exact_journal(
    statements: Sequence[Statement],
    chart: Chart | None = None,
    zone: dt.tzinfo = dt.UTC,
    *,
    closed_until_ns: int = ALL_CLOSED,
) -> Journal:
    """Return every entry of `statements` as posted. UserError when a period has no days of its own."""
    entries = [
        Dated(day, entry.text, _sides(entry, chart))
        for statement in statements
        for entry, day in _dated(statement, zone)
    ]
    currency, first = _common(statements, zone)
    ordered = sorted(entries, key=lambda entry: entry.date)
    since = _provisional_from(statements, zone, closed_until_ns)
    return Journal(currency, first, tuple(ordered), provisional_from=since)


def rounded_journal(
    statements: Sequence[Statement],
    decimals: int,
    chart: Chart | None = None,
    zone: dt.tzinfo = dt.UTC,
    *,
    parties: bool = False,
    most_lines: int = 10**9,
    closed_until_ns: int = ALL_CLOSED,
) -> Journal:
    """The entries of `statements` added up by period, kind and account, and rounded to `decimals`.

    With `parties` receivables and payables have a line for each customer and supplier. A journal of more
    than `most_lines` is divided. UserError when a period has no days of its own, or cannot be divided.
    """
    entries: list[Dated] = []
    lines, net, numbers = 0, 0, Counter[tuple[dt.date, str]]()
    for statement in statements:
        names = dict(statement.names) if parties else None
        mark = ", provisional" if statement.end_ns > closed_until_ns else ""
        for code, title, day, booked in _kinds(statement, zone):
            for sums in _divided(booked, chart, names, most_lines - 1):
                sides, off, left = _rounded(sums, decimals, chart)
                lines, net = lines + off, net + left
                numbers[day, code] += 1
                number = f"IW-{day:%Y%m%d}-{code}-{numbers[day, code]}"
                entries += [Dated(day, f"{title}{mark}", sides, number)] if sides else []
    currency, first = _common(statements, zone)
    ordered = sorted(entries, key=lambda entry: entry.date)
    since = _provisional_from(statements, zone, closed_until_ns)
    return Journal(currency, first, tuple(ordered), decimals, Rounding(lines, net), since)


_Sums = dict[tuple[Account, str], int]
"""Picounits by account and party."""


def _dated(statement: Statement, zone: dt.tzinfo) -> Iterator[tuple[Entry, dt.date]]:
    """The entries of a statement and their days."""
    for moment_ns in (statement.start_ns, statement.end_ns):
        local = _local(moment_ns, zone)
        if moment_ns % NS_PER_SECOND or local.time() != dt.time():
            raise UserError(
                f"{local:%Y-%m-%dT%H:%M:%S%z} is no midnight in {zone}, so the days of a journal would not "
                "be those of the period; name the time zone that its periods begin in with --zone"
            )
    for entry in statement.entries:
        at_ns = booked_within(entry, statement.start_ns, statement.end_ns)
        yield entry, _local(at_ns, zone).date()


def _local(at_ns: int, zone: dt.tzinfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, zone)


def _common(statements: Sequence[Statement], zone: dt.tzinfo) -> tuple[str, dt.date]:
    """The currency of all `statements`, and the first day of the first."""
    currencies = {statement.currency for statement in statements}
    currencies |= {p.currency for s in statements for entry in s.entries for p in entry.postings}
    if len(currencies) != 1:
        raise UserError(
            f"a journal has one currency, these periods have {', '.join(sorted(currencies)) or 'none'}"
        )
    return currencies.pop(), _local(min(s.start_ns for s in statements), zone).date()


def _provisional_from(
    statements: Iterable[Statement], zone: dt.tzinfo, closed_until_ns: int
) -> dt.date | None:
    """The first day of the statements that are not closed; None without any."""
    starts = [one.start_ns for one in statements if one.end_ns > closed_until_ns]
    return _local(min(starts), zone).date() if starts else None


def _account(name: str, chart: Chart | None) -> Account:
    account = Account(name) if chart is None else chart.account_of(name)
    if account is None:
        raise UserError(f"the chart of accounts has no row for {name}; add one that takes it")
    return account


def _sides(entry: Entry, chart: Chart | None) -> tuple[Side, ...]:
    return tuple(Side(_account(p.account, chart), p.amount_pico) for p in entry.postings)


class _Kind(NamedTuple):
    code: str
    title: str
    date: dt.date
    entries: Sequence[Entry]


def _kinds(statement: Statement, zone: dt.tzinfo) -> Iterator[_Kind]:
    """Return the entries of a statement by kind: each kind is a journal of its own."""
    dated, name = list(_dated(statement, zone)), _name(statement, zone)
    last = _local(max(statement.start_ns, statement.end_ns - 1), zone).date()
    own = dated[: len(dated) - sum(len(one.entries) for one in statement.corrections)]
    costs = [entry for entry, _ in own if not _is_sale(entry)]
    yield _Kind("COST", f"Costs of {name}", last, costs)
    sales = [entry for entry, _ in own if _is_sale(entry) and not moves_credit(entry)]
    yield _Kind("SALE", f"Sales of {name}", last, sales)
    moved: dict[dt.date, list[Entry]] = defaultdict(list)
    for entry, day in own:
        if moves_credit(entry):
            moved[day].append(entry)
    for day, entries in sorted(moved.items()):
        yield _Kind("CRED", f"Credit bought and refunded on {day}", day, entries)
    for correction in statement.corrections:
        title = f"Corrections of {correction.period.name}, booked in {name}"
        yield _Kind("CORR", title, last, correction.entries)


def _is_sale(entry: Entry) -> bool:
    """Return True if `entry` is between the operator and a customer."""
    return any(posting.account.startswith((RECEIVABLE, CREDITS)) for posting in entry.postings)


def _name(statement: Statement, zone: dt.tzinfo) -> str:
    """The period of a statement: `2026-11` where it is a month, else its first and last day."""
    first, after = (_local(at_ns, zone).date() for at_ns in (statement.start_ns, statement.end_ns))
    if first.day == 1 and after == (first + dt.timedelta(days=31)).replace(day=1):
        return f"{first:%Y-%m}"
    return f"{first} to {after - dt.timedelta(days=1)}"


def _divided(
    entries: Iterable[Entry], chart: Chart | None, names: Mapping[str, str] | None, most: int
) -> Iterator[_Sums]:
    """The sums of `entries`, in as few parts as have at most `most` lines each; every part balances."""
    part: _Sums = {}
    for unit in _units(entries):
        sums = _summed(unit, chart, names)
        if len(sums) > most:
            raise UserError(f"entry {unit[0].text!r} alone has more than {most} lines")
        if len(part.keys() | sums.keys()) > most:
            yield part
            part = {}
        for key, pico in sums.items():
            part[key] = part.get(key, 0) + pico
    if part:
        yield part


def _units(entries: Iterable[Entry]) -> Iterable[list[Entry]]:
    """Return the inseparable groups: all entries of a charge, so that its pool is emptied; else one."""
    units: dict[object, list[Entry]] = defaultdict(list)
    for number, entry in enumerate(entries):
        charge = _CHARGE.search(entry.text)
        units[charge[0] if charge else number].append(entry)
    return units.values()


def _summed(
    entries: Iterable[Entry], chart: Chart | None, names: Mapping[str, str] | None
) -> _Sums:
    """Picounits by account, and by party where there are `names` for it; what is nothing is left out."""
    sums: _Sums = defaultdict(int)
    for entry in entries:
        for posting in entry.postings:
            party = "" if names is None else _party(posting.account, names)
            sums[_account(posting.account, chart), party] += posting.amount_pico
    return {key: pico for key, pico in sums.items() if pico}


def _party(account: str, names: Mapping[str, str]) -> str:
    """The customer of a receivable as `names` call it, the supplier of a payable; empty for others."""
    prefix = next((p for p in (RECEIVABLE, PAYABLE) if account.startswith(f"{p}:")), None)
    party = account[len(prefix) + 1 :] if prefix else ""
    return names.get(party, party) if prefix == RECEIVABLE else party


def _rounded(sums: _Sums, decimals: int, chart: Chart | None) -> tuple[tuple[Side, ...], int, int]:
    """The lines of a journal, how many had to be rounded, and what is left for the rounding line."""
    sides = [Side(*key[:1], rounded(pico, decimals), key[1]) for key, pico in sums.items()]
    off = sum(pico % ten_to(12 - decimals) != 0 for pico in sums.values())
    left = -sum(side.amount for side in sides)
    if left:
        sides.append(Side(_account(ROUNDING, chart), left))
    kept = (side for side in sides if side.amount)
    return tuple(sorted(kept, key=lambda s: (s.amount < 0, s.account, s.party))), off, left
