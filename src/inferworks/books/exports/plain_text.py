"""Shared parts of the plain-text ledgers: names of accounts, commodity, balances, last line.

Problem. hledger and beancount have their own rules for names, and a tolerance: beancount infers one from
the decimals it sees, and lets a gap below it pass.

Decision. Exact amounts are whole numbers of a commodity of 10^-12 units (`USDP`): with no decimals there is
nothing to infer, and the tolerance is zero in both. Amounts that are rounded are of the currency itself.
Account names are made of letters, digits and dashes only, for both tools alike. A name that had to be
changed for that carries a part of its hash, so that two names never become one; an account of a chart has
its number for that. The original stands beside the account.

Cost pools are accounts that are emptied within a period. Beancount knows five roots and no `Costs`, so
they stand under `Expenses:Pools`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from inferworks.books.exports.chart_of_accounts import Account
from inferworks.books.exports.journal import EXACT, Journal
from inferworks.errors import BooksError
from inferworks.visible import visible

_ROOTS = ("Assets", "Liabilities", "Equity", "Income", "Expenses")
_ELSEWHERE = ("Equity", "Other")
"""Root of accounts whose own root no tool knows."""
_COSTS = "Costs"
_POOLS = ("Expenses", "Pools")
_PLAIN = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9])*")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]+")


class Names(NamedTuple):
    """The accounts of a journal, and where each ends, in whole units of 10^-decimals."""

    written: dict[Account, str]
    """Written name of each account."""
    balances: dict[str, int]
    """Balances by written name, in order."""

    def originals(self) -> Iterable[tuple[str, str]]:
        """Each written name and what it stands for, in order."""
        return sorted(
            (written, one_line(_title(account))) for account, written in self.written.items()
        )


def names_of(journal: Journal) -> Names:
    """Return the written names of the accounts of `journal`. BooksError if two are the same."""
    sums: dict[Account, int] = defaultdict(int)
    for entry in journal.entries:
        for side in entry.sides:
            sums[side.account] += side.amount
    written = {account: account_name(account) for account in sums}
    if len(set(written.values())) < len(written):
        raise BooksError("two accounts have the same name in the journal; no journal was written")
    return Names(written, dict(sorted((written[account], sums[account]) for account in sums)))


def head(journal: Journal) -> Iterable[str]:
    """Yield the opening remarks of a journal: on its amounts, and on days that may change."""
    yield journal.remark or "Amounts are whole numbers of 10^-12 of a currency."
    if journal.provisional:
        yield journal.provisional


def commodity(journal: Journal) -> str:
    """Return the commodity of a journal: `USDP` for 10^-12 of a dollar, else `USD`."""
    return f"{journal.currency}P" if journal.decimals == EXACT else journal.currency


def amount_text(journal: Journal, amount: int) -> str:
    """`amount` with its commodity."""
    text = str(amount) if journal.decimals == EXACT else journal.text(amount)
    return f"{text} {commodity(journal)}"


def last_day(journal: Journal) -> dt.date:
    """The day of the last entry."""
    return journal.entries[-1].date if journal.entries else journal.first


def account_name(account: Account) -> str:
    """Return `account` as both tools accept it; different accounts give different texts."""
    if account.number:
        return f"{account.root}:{_capitalised(_NOT_PLAIN.sub('-', _title(account)).strip('-'))}"
    root, *parts = account.name.split(":")
    if root == _COSTS:
        head = _POOLS
    elif root in _ROOTS and parts:
        head = (root, _capitalised(parts.pop(0)))
    else:
        head, parts = _ELSEWHERE, [root, *parts]
    names = [*head]
    for part in parts:  # `acme` is `Acme`; what cannot stand as it is carries its hash
        readable, mark = part, ""
        if not _PLAIN.fullmatch(part) or part[0].isupper():
            readable = _NOT_PLAIN.sub("-", part).strip("-") or "X"
            mark = f"-{hashlib.sha256(part.encode()).hexdigest()[:12]}"
        names.append(f"{_capitalised(readable)}{mark}")
    return ":".join(names)


def one_line(text: str) -> str:
    """Return `text` as one line, with invisible characters escaped."""
    return visible(text).strip()


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


def _capitalised(text: str) -> str:
    """Return `text` with the first letter that both tools want. Our own account names need no more."""
    return text[0].upper() + text[1:]


def _title(account: Account) -> str:
    return f"{account.number} {account.name}".strip()
