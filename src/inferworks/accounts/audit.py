"""Audit log: one row for each change of accounts, chained by hashes.

Problem. Who raised this credit, and when? A table that can be edited answers for nobody.

Decision. Each change writes its row in its own transaction, so there is none of either without the other.
A row's hash covers its columns and the hash of the row before; the number of rows and the last hash stand
in a table of their own, so that a row that is cut off the end is missed. The database refuses to update
or delete rows. `verify` names the first row that differs.

What this cannot notice: somebody who can write the file can remove the database's refusals and compute the
whole chain anew, head included. So `inferworks audit verify` prints the head, and takes one that was noted
elsewhere (`--head`): a chain that does not pass through it was rewritten, or an older file was put back.

Rejected. A keyed hash (its key would lie beside the file); a log file beside the database (two writes that
can part in a crash).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.accounts.author import Author
from inferworks.errors import UserError

GENESIS: Final = "0" * 64
"""Hash before the first row."""


class AuditEntry(NamedTuple):
    """One change."""

    number: int
    """1 for the first."""
    at_ns: int
    who: str
    origin: str
    action: str
    """Noun and verb, as `keys revoke`."""
    subject: str
    """Thing that changed, as `key:key_mfrg...`."""
    customer: str
    """Customer that it belongs to; empty for none."""
    before: str
    """The thing before, as JSON without secrets; empty for none."""
    after: str
    """The same after."""
    sha256: str
    """Hash of the other fields and of the row before."""


class AuditHead(NamedTuple):
    """End of the chain."""

    rows: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.rows}:{self.sha256}"


EMPTY: Final = AuditHead(0, GENESIS)


class Change(msgspec.Struct):
    """A change in the making: what the thing was and what it became, for the audit log."""

    before: object = None
    after: object = None

    @property
    def is_none(self) -> bool:
        """True if nothing changed."""
        return self.before == self.after


class Event(NamedTuple):
    """Description of a change: what was done to what."""

    action: str
    subject: str
    customer: str = ""


def entry_after(
    head: AuditHead, author: Author, at_ns: int, event: Event, change: Change
) -> AuditEntry:
    """Return the row of a change that follows `head`."""
    row = AuditEntry(
        head.rows + 1,
        at_ns,
        author.who,
        author.origin,
        *event,
        described(change.before),
        described(change.after),
        "",
    )
    return row._replace(sha256=_hash(head.sha256, row))


def described(value: object) -> str:
    """Return `value` as JSON, without what a secret could be found by; empty for None.

    Hashes of secrets are the only bytes that accounts have.
    """
    if value is None:
        return ""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,))
    return msgspec.json.encode(_without_bytes(plain), order="deterministic").decode()


def _without_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_bytes(one)
            for name, one in value.items()
            if not isinstance(one, bytes) and not (isinstance(name, str) and "secret" in name)
        }
    if isinstance(value, list | tuple):
        return [_without_bytes(one) for one in value if not isinstance(one, bytes)]
    return value


def verify(rows: Iterable[AuditEntry], head: AuditHead, noted: AuditHead | None = None) -> int:
    """Return the number of rows when all are as they were written; else UserError, naming the first fault.

    `noted` is an earlier head that the chain must pass through.
    """
    count, last = EMPTY
    if noted is not None and noted.rows == 0 and noted != EMPTY:
        raise UserError("the head that was noted is of no chain: one of no rows has another hash")
    for row in rows:
        count += 1
        if row.number != count:
            raise UserError(f"audit row {count} is missing: row {row.number} stands in its place")
        if row.sha256 != _hash(last, row):
            raise UserError(f"audit row {count} is not what was written: its hash differs")
        last = row.sha256
        if noted is not None and noted.rows == count and noted.sha256 != last:
            raise UserError(
                f"audit row {count} is another than the one whose hash was noted: the log was rewritten"
            )
    if head != (count, last):
        missing = head.rows - count
        what = (
            f"audit row {count + 1} is missing, and {missing - 1} after it"
            if missing > 0
            else f"audit row {count} is not the one that the head names"
        )
        raise UserError(what)
    if noted is not None and noted.rows > count:
        raise UserError(
            f"audit row {count + 1} is missing: {noted.rows} rows were noted; an older file was put back, "
            "or the log was rewritten"
        )
    return count


def parse_head(text: str) -> AuditHead:
    """`text` as `inferworks audit verify` prints a head; UserError when it is none."""
    count, _, sha256 = text.strip().partition(":")
    if not (count.isascii() and count.isdigit() and len(count) < 19 and len(sha256) == 64):
        raise UserError(f"{text[:80]!r} is no head: copy one that inferworks audit verify printed")
    return AuditHead(int(count), sha256.lower())


def _hash(before: str, row: AuditEntry) -> str:
    """Return the hash of a row that follows the one of hash `before`."""
    return hashlib.sha256(before.encode() + msgspec.json.encode(row[:-1])).hexdigest()
