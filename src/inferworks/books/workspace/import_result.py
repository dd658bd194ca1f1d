"""Result of an import: for each file what it added and changed, what was refused, and what to look at."""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.books.deliveries.decide import Fate
from inferworks.books.deliveries.record import DeliveryOutcome
from inferworks.books.deliveries.saying import plain
from inferworks.errors import BillError

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

    @property
    def text(self) -> str:
        """The changes in words; empty where a delivery is new or nothing changed."""
        parts = [
            f"{line_count(number)} {what}"
            for number, what in (
                (self.added, "added"),
                (self.gone, "gone"),
                (self.changed, "changed"),
                (self.amended, "amended"),
                (self.withheld, "of a closed period left as sealed"),
            )
            if number
        ]
        if self.fate is Fate.NEW or not parts:
            return self.remark
        what = {
            Fate.REVISION: f"revision {self.revision} of {self.delivery}",
            Fate.PART: f"a further part of {self.delivery}",
        }.get(self.fate, f"{self.delivery}, which is here already")
        amount = ""
        if self.before != self.after:
            amount = f"; {_amounts(self.before)} before, {_amounts(self.after)} after"
        remark = f"; {self.remark}" if self.remark else ""
        return f"{what}: {', '.join(parts)}{amount}{remark}"


class ImportedFile(msgspec.Struct, frozen=True):
    """Result of the import of one file: received = accepted + duplicate."""

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


class ImportResult(msgspec.Struct, frozen=True):
    """Result of an import of several files, each whole or not at all."""

    files: tuple[ImportedFile, ...]
    """The imported files, duplicates of earlier ones included."""
    refused: tuple[str, ...]
    """Reasons why files were not imported, each with what to do."""
    notes: tuple[str, ...]
    """Remarks: no errors, but worth a look."""

    def raise_for_refused(self) -> None:
        """Raise BillError when a file was refused, or rows of one conflict with the record."""
        conflicts = sum(file.conflict for file in self.files)
        problems = (*self.refused, *([conflict_text(conflicts)] if conflicts else []))
        if problems:
            raise BillError("\n".join(problems))


def change_of(outcome: DeliveryOutcome) -> Change:
    """Describe the change of one delivery in a file."""
    changed = outcome.changed
    return Change(
        delivery=str(outcome.delivery),
        fate=outcome.fate,
        revision=outcome.revision,
        added=changed.added - changed.changed,
        gone=changed.gone - changed.changed,
        changed=changed.changed,
        amended=changed.amended,
        withheld=changed.withheld,
        before={currency: plain(total.exact) for currency, total in outcome.before.items()},
        after={currency: plain(total.exact) for currency, total in outcome.after.items()},
        remark=outcome.remark,
    )


def conflict_text(conflicts: int) -> str:
    """Return the error for rows whose id is on record with other values."""
    rows, they = (
        ("1 row is", "it was") if conflicts == 1 else (f"{conflicts} rows are", "they were")
    )
    return (
        f"{rows} on record already with other values; {they} not counted, and both versions are in "
        "quarantine. Give a correction an id of its own"
    )


def no_rows_text(name: str) -> str:
    """Return the remark on a file with columns and no rows."""
    return f"{name}: it names its columns and has no rows; was it exported whole?"


def line_count(number: int) -> str:
    """`1 line`, `2,000 lines`."""
    return f"{number:,} line{'' if number == 1 else 's'}"


def _amounts(totals: dict[str, str]) -> str:
    return (
        " and ".join(f"{amount} {currency}" for currency, amount in sorted(totals.items()))
        or "0.00"
    )
