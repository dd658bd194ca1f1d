"""Where a journal keeps the calls that have not ended: one row for all that a commit opened.

An Opened record is written once, read only if the process dies before the call ends, and worth nothing
afterwards. As a row of its own it costs as much as the Usage that makes it superfluous: ten values bound
one by one, a place in an index, and its share of the file for ever. So the calls that a group commit
opens are one row of JSON in the table `opening`, appended, and the row is deleted when the last of them
has ended, `_AT_ONCE` such rows at a time. What that leaves standing does no harm: an open call is one
that is in here and has no Usage.

The view `opened` shows them one by one, and lets them be deleted one by one, which is how sealing takes
out what it seals (`lake_journal`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from inferworks.errors import RecordError
from inferworks.ids import CallId
from inferworks.meter.usage import Opened, Usage

_AT_ONCE: Final = 32
_BITS: Final = 63
_INSERT: Final = "INSERT INTO opening (calls) VALUES (?)"
_DELETE: Final = f"DELETE FROM opening WHERE seq IN ({','.join('?' * _AT_ONCE)})"
_TIDY: Final = """
DELETE FROM opening WHERE NOT EXISTS (
  SELECT 1 FROM json_each(opening.calls)
  WHERE json_extract(value, '$.call_id') NOT IN (SELECT call_id FROM usage)
)
"""

_encode = msgspec.json.Encoder().encode


class Openings:
    """What one writer has put into `opening` and when each row has served its purpose."""

    def __init__(self) -> None:
        self._row_of: dict[CallId, int] = {}
        self._left: dict[int, int] = {}
        """How many calls of a row have not ended."""
        self._ended: list[int] = []
        """Rows that may go."""

    def tidy(self, database: sqlite3.Connection) -> None:
        """Delete what an earlier writer has left of calls that have ended."""
        database.execute(_TIDY)

    def insert(self, database: sqlite3.Connection, opened: Sequence[Opened]) -> int:
        """Write `opened`, within a transaction; the row they are in.

        RecordError when one of them is open already or cannot be stored.
        """
        fresh = {call.call_id for call in opened}
        if len(fresh) < len(opened) or not self._row_of.keys().isdisjoint(fresh):
            raise RecordError("a record was refused: a call is open already")
        if any((call.opened_ns | call.request_bytes) >> _BITS for call in opened):
            raise RecordError("a record was refused: a number is larger than 63 bits")
        row = database.execute(_INSERT, (_encode(opened).decode(),)).lastrowid
        assert row is not None
        return row

    def delete_ended(self, database: sqlite3.Connection) -> None:
        """Delete rows that may go, within a transaction, if there are enough of them."""
        if len(self._ended) >= _AT_ONCE:
            database.execute(_DELETE, self._ended[:_AT_ONCE])

    def committed(self, row: int, opened: Sequence[Opened], usages: Sequence[Usage]) -> None:
        """The transaction that wrote `opened` into `row`, and `usages`, is durable."""
        if len(self._ended) >= _AT_ONCE:
            del self._ended[:_AT_ONCE]
        if opened:
            self._left[row] = len(opened)
            self._row_of.update((call.call_id, row) for call in opened)
        for usage in usages:
            self._end(usage.call_id)

    def _end(self, call_id: CallId) -> None:
        row = self._row_of.pop(call_id, None)
        if row is None:
            return
        self._left[row] -= 1
        if not self._left[row]:
            del self._left[row]
            self._ended.append(row)
