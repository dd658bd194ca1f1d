"""Result of the import of a file of costs, for people and programs."""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.books.deliveries.decide import Fate
from inferworks.books.deliveries.record import Told
from inferworks.books.deliveries.saying import plain
from inferworks.cli.show import counted

CHANGING: Final = {Fate.NEW, Fate.PART, Fate.REVISION}


class Change(msgspec.Struct, frozen=True):
    """Changes that a file made to one delivery: an issuer's account and billing period."""

    delivery: str
    fate: Fate
    revision: int
    added: int
    gone: int
    changed: int
    """Lines that replaced another about the same thing, counted apart from those added and gone."""
    amended: int
    withheld: int
    """Amendments of lines of a closed period, which stay as they were sealed."""
    before: dict[str, str]
    """The exact total, by the currency of the bill."""
    after: dict[str, str]
    remark: str = ""
    """Lines removed and kept, where the file replaces some of an earlier one; or the reason for no change.
    """


class Landed(msgspec.Struct, frozen=True):
    """Result of the import of a file: received = accepted + duplicate."""

    file: str
    kind: str
    received: int
    accepted: int
    duplicate: int
    amount: str
    """Sum of the new lines, in `currency`; zero where a file carries no money."""
    currency: str
    conflict: int = 0
    rejected: int = 0
    mapping: str = ""
    """Name of the mapping that converted its columns, if any."""
    late: tuple[str, ...] = ()
    """Closed periods of the new lines, each with the open one that they correct."""
    notes: tuple[str, ...] = ()
    """Remarks: no errors, but worth a look."""
    changes: tuple[Change, ...] = ()


def change_of(told: Told) -> Change:
    """Describe the change of one delivery in a file."""
    changed = told.changed
    return Change(
        delivery=str(told.delivery),
        fate=told.fate,
        revision=told.revision,
        added=changed.added - changed.changed,
        gone=changed.gone - changed.changed,
        changed=changed.changed,
        amended=changed.amended,
        withheld=changed.withheld,
        before={currency: plain(total.exact) for currency, total in told.before.items()},
        after={currency: plain(total.exact) for currency, total in told.after.items()},
        remark=told.remark,
    )


def change_text(change: Change) -> str:
    """Return the changes in words; empty where a delivery is new or nothing changed."""
    said = [
        f"{counted(number, noun)} {what}"
        for number, noun, what in (
            (change.added, "line", "added"),
            (change.gone, "line", "gone"),
            (change.changed, "line", "changed"),
            (change.amended, "line", "amended"),
            (change.withheld, "line", "of a closed period left as sealed"),
        )
        if number
    ]
    if change.fate is Fate.NEW or not said:
        return change.remark
    what = {
        Fate.REVISION: f"revision {change.revision} of {change.delivery}",
        Fate.PART: f"a further part of {change.delivery}",
    }.get(change.fate, f"{change.delivery}, which is here already")
    amount = ""
    if change.before != change.after:
        amount = f"; {_amounts(change.before)} before, {_amounts(change.after)} after"
    remark = f"; {change.remark}" if change.remark else ""
    return f"{what}: {', '.join(said)}{amount}{remark}"


def _amounts(totals: dict[str, str]) -> str:
    return (
        " and ".join(f"{amount} {currency}" for currency, amount in sorted(totals.items()))
        or "0.00"
    )


def row_of(file: Landed) -> tuple[str, ...]:
    """A file as a row of the table that is printed."""
    counts = str(file.accepted), str(file.duplicate)
    kind = f"{file.kind} ({file.mapping})" if file.mapping else file.kind
    return file.file, kind, *counts, file.amount, file.currency
