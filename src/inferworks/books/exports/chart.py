"""What the two plain-text journals share: names of accounts, days, and the integer commodity.

Problem. hledger and beancount have their own rules for names, and a tolerance: beancount infers one from
the decimals it sees, and lets a gap below it pass.

Decision. Amounts are whole numbers of a commodity of 10^-12 units (`USDP`): with no decimals there is
nothing to infer, and the tolerance is zero in both. Account names are made of letters, digits and dashes
only, for both tools alike. A name that had to be changed for that carries a part of its hash, so that two
names never become one; the original stands beside the account.

Cost pools are accounts that are emptied within the span. Beancount knows five roots and no `Costs`, so
they stand under `Expenses:Pools`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inferworks.books.entry import Entry
from inferworks.books.exports.values import date_of
from inferworks.errors import BooksError

_ROOTS = ("Assets", "Liabilities", "Equity", "Income", "Expenses")
_ELSEWHERE = ("Equity", "Other")
"""Where an account goes whose root no tool knows."""
_COSTS = "Costs"
_POOLS = ("Expenses", "Pools")
_PLAIN = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9])*")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Side(NamedTuple):
    """A posting under its name in a journal."""

    account: str
    amount_pico: int
    commodity: str


class Dated(NamedTuple):
    """An entry as a journal has it: on a day."""

    date: dt.date
    text: str
    sides: tuple[Side, ...]


class Balance(NamedTuple):
    """What an account holds of one commodity in the end."""

    account: str
    amount_pico: int
    commodity: str


class Chart(NamedTuple):
    """A span's entries in the order of their days, the accounts they use, and where those end."""

    entries: tuple[Dated, ...]
    accounts: dict[str, str]
    """Each account's name in the books, by its name in the journal."""
    commodities: tuple[str, ...]
    balances: tuple[Balance, ...]
    first: dt.date
    after: dt.date
    """The day after the last entry."""


def chart(entries: Sequence[Entry], start_ns: int) -> Chart:
    """The journal of `entries`; `start_ns` dates one that is empty. BooksError when two names meet."""
    names = _names(posting.account for entry in entries for posting in entry.postings)
    dated = sorted((_dated(entry, names) for entry in entries), key=lambda entry: entry.date)
    dates = [entry.date for entry in dated] or [date_of(start_ns)]
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for entry in dated:
        for side in entry.sides:
            sums[side.account, side.commodity] += side.amount_pico
    return Chart(
        entries=tuple(dated),
        accounts={names[name]: name for name in sorted(names, key=names.__getitem__)},
        commodities=tuple(sorted({commodity for _, commodity in sums})),
        balances=_balances(sums),
        first=dates[0],
        after=dates[-1] + dt.timedelta(days=1),
    )


def commodity(currency: str) -> str:
    """The commodity of 10^-12 of `currency`: `USDP`."""
    return f"{currency}P"


def account_name(name: str) -> str:
    """The account `name` of the books as both tools accept it; other names give other texts."""
    root, *parts = name.split(":")
    if root == _COSTS:
        head = _POOLS
    elif root in _ROOTS and parts:
        head = (root, _capitalised(parts.pop(0)))
    else:
        head, parts = _ELSEWHERE, [root, *parts]
    return ":".join((*head, *map(_component, parts)))


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters."""
    return _CONTROL.sub(" ", text).strip()


def seal_line(sha256: str) -> str:
    """The last line of a journal: what `head -n -1 FILE | sha256sum` must say."""
    return f"; sha256 of all lines above: {sha256}\n"


def sealed(lines: Iterable[str]) -> Iterable[bytes]:
    """`lines` as bytes, and the line that seals them."""
    digest = hashlib.sha256()
    for line in lines:
        raw = f"{line}\n".encode()
        digest.update(raw)
        yield raw
    yield seal_line(digest.hexdigest()).encode()


def _component(text: str) -> str:
    """One part of a name: `acme` is `Acme`; what cannot stand as it is carries its hash."""
    if _PLAIN.fullmatch(text) and not text[0].isupper():
        return _capitalised(text)
    readable = _NOT_PLAIN.sub("-", text).strip("-") or "X"
    return f"{_capitalised(readable)}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _capitalised(text: str) -> str:
    """`text` as both tools want a name to begin. What we ourselves call accounts needs no more."""
    return text[0].upper() + text[1:]


def _names(accounts: Iterable[str]) -> dict[str, str]:
    names = {account: account_name(account) for account in set(accounts)}
    if len(set(names.values())) < len(names):
        raise BooksError("two accounts have the same name in the journal; no journal was written")
    return names


def _dated(entry: Entry, names: dict[str, str]) -> Dated:
    sides = (
        Side(names[posting.account], posting.amount_pico, commodity(posting.currency))
        for posting in entry.postings
    )
    return Dated(date_of(entry.at_ns), one_line(entry.text), tuple(sides))


def _balances(sums: dict[tuple[str, str], int]) -> tuple[Balance, ...]:
    return tuple(Balance(account, sums[account, unit], unit) for account, unit in sorted(sums))
