"""The journal's tables: one row of this file per table, for the writer, the reader and a stranger.

Anybody with `sqlite3` can read a journal: one column per field, times in integer nanoseconds since
1970-01-01 UTC, enumerations as their text, and JSON where a record holds a list (`usage.legs`,
`step.calls`). The views `leg` and `step_call` unfold those lists into rows. Rare units, such as images or
tokens of sound, stand in the JSON of `usage.other_units`, null where there are none, so a plain call stays
small.

A call's records are keyed by `call_id`, so that a second Usage of a call cannot exist. Steps are keyed
by time within a replica, since a replica that is started again numbers its steps from the beginning.

The quantity of an activity may exceed 63 bits, as the byte-seconds of four terabytes for a month do. It is
then stored as decimal digits in a blob: SQLite would turn a text into a float.

A version adds columns at the end of tables, or a table, and nothing else changes: so a row of any version
that can be read is a row of this one with its last columns missing, and `MIGRATIONS` are short.

A disk may return another byte than it was given, and SQLite does not notice: a letter of a customer's name
changes, and a call is on another's bill. So each row ends with a `checksum` of its other values
(`inferworks.checksum`), looked at whenever the row is read. It is null in rows that were written before
there were checksums; they are read as they are.

Columns are those of the records' fields, but for a few exceptions. So a field that is added to a record
changes its table: raise `SCHEMA_VERSION`, and add its column in `MIGRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec.structs import astuple

from inferworks.checksum import row_checksum
from inferworks.errors import DamagedError
from inferworks.meter.capacity import Activity, Capacity, Step, StepCall
from inferworks.meter.fields import Field, fields_of
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.usage import (
    COUNT_COLUMNS,
    NO_ITEMS,
    TOKEN_UNITS,
    Checkpoint,
    Items,
    Leg,
    Opened,
    Tokens,
    Usage,
)

SCHEMA_VERSION: Final = 9
"""Raised by one whenever a table changes. A writer brings an older journal up to it (`MIGRATIONS`); a
newer one is refused."""
READABLE: Final = range(1, SCHEMA_VERSION + 1)
"""The versions that a reader reads as they are."""

Value: TypeAlias = str | int | bytes | None
Row: TypeAlias = tuple[Value, ...]
R = TypeVar("R")

_encode = msgspec.json.Encoder().encode
_decode_counts = msgspec.json.Decoder(dict[str, int]).decode


class Column(NamedTuple):
    """Column of a table, with the way of its values there and back."""

    name: str
    sql: str
    """Its type and constraints, as in `CREATE TABLE`."""
    path: str = ""
    """Attribute of a record that it keeps; empty where it is made of the record as a whole."""
    encode: Callable[[Any], Value] | None = None
    """Makes the stored value of that attribute, or of that record; None where they are the same."""
    decode: Callable[[Any], Any] | None = None
    """Makes the attribute of a stored value; None where they are the same."""


def _column(of: Field) -> Column:
    """Return the column of a field: text, numbers and enumerations as such, all else as JSON."""
    null = "" if of.nullable else " NOT NULL"
    if of.is_a(StrEnum):
        return Column(of.name, f"TEXT{null}", f"{of.name}._value_", None, of.type)
    if of.is_a(bool):
        return Column(of.name, f"INTEGER{null}", of.name, int, bool)
    if of.is_a(str, int):
        return Column(of.name, f"{'TEXT' if of.is_a(str) else 'INTEGER'}{null}", of.name)
    decode = msgspec.json.Decoder(of.type).decode
    return Column(of.name, f"TEXT{null}", of.name, _json, decode)


def _json(value: Any) -> str:
    return _encode(value).decode()


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """Table of records of one type, with their conversion to rows and back."""

    name: str
    record: type[R]
    key: str
    """The primary key's columns."""
    exceptions: Mapping[str, Sequence[Column]] = field(default_factory=dict)
    """The columns of fields that have other than one column of their own, by field."""
    make: Callable[..., R] | None = None
    """Makes a record of the values of its columns, where those are other than its fields."""
    verb: str = "INSERT"
    """Statement for a taken key: `INSERT` refuses, `... OR REPLACE` and `... OR IGNORE` do as they say."""
    rowid: bool = False
    """True if SQLite numbers the rows. Large ones are then appended and only their key is sorted in, which
    takes half the time; small ones do better without.
    """
    names: tuple[str, ...] = field(init=False)
    """The columns' names, in order, without the checksum's."""
    columns: str = field(init=False)
    """Column definitions as in `CREATE TABLE`, one per line, without the checksum and the key."""
    to_row: Callable[[R], list[Value]] = field(init=False)
    """Returns the values of a record."""
    from_row: Callable[[Row], R] = field(init=False)
    """The other way round; the last columns may be missing."""

    def __post_init__(self) -> None:
        columns = [
            column
            for one in fields_of(self.record)
            for column in self.exceptions.get(one.name, (_column(one),))
        ]
        lines = "".join(f"  {column.name} {column.sql},\n" for column in columns)
        object.__setattr__(self, "names", tuple(column.name for column in columns))
        object.__setattr__(self, "columns", f"\n{lines}")
        object.__setattr__(self, "to_row", _writer(columns))
        object.__setattr__(self, "from_row", _reader(columns, self.make or self.record))

    def create(self) -> str:
        """The statement that makes the table."""
        tail = "" if self.rowid else " WITHOUT ROWID"
        return (
            f"CREATE TABLE {self.name} ({self.columns}  checksum INTEGER,\n"
            f"  PRIMARY KEY ({self.key})\n){tail}"
        )

    def insert(self, rows: int) -> str:
        """The statement that writes `rows` rows at once."""
        row = "(" + ",".join("?" * (len(self.names) + 1)) + ")"
        return f"{self.verb} INTO {self.name} VALUES " + ",".join([row] * rows)

    def stored(self, record: R) -> Row:
        """The row that keeps `record`, its checksum included."""
        row = self.to_row(record)
        row.append(row_checksum(self.name, row))
        return tuple(row)

    def read(self, row: Row) -> R:
        """Return the record in `row`; DamagedError when it is damaged."""
        self.check(row)
        try:
            return self.from_row(row[: len(self.names)])
        except (ValueError, TypeError, msgspec.MsgspecError) as error:  # one without a checksum
            raise DamagedError(f"{self._told(row)} cannot be read: {error}") from error

    def check(self, row: Row) -> None:
        """Raise DamagedError when `row` is damaged, as far as its checksum shows."""
        values = row[: len(self.names)]
        if self.is_checked(row) and row_checksum(self.name, values) != row[len(values)]:
            raise DamagedError(f"{self._told(row)} is not what was written: its checksum differs")

    def is_checked(self, row: Row) -> bool:
        """Return whether `row` has a checksum; rows of former versions have none."""
        return len(row) > len(self.names) and row[len(self.names)] is not None

    def _told(self, row: Row) -> str:
        """`row` for people."""
        key = (str(row[self.names.index(name)]) for name in self.key.split(", "))
        return ascii(f"{self.name} {' '.join(key)}")


def _writer(columns: Sequence[Column]) -> Callable[[Any], list[Value]]:
    """Return the conversion of records to rows; columns made of a whole record are the last ones."""
    plain = [column for column in columns if column.path]
    values_of = attrgetter(*(column.path for column in plain))
    encodes = [(n, column.encode) for n, column in enumerate(plain) if column.encode]
    of_record = columns[-1].encode if len(plain) < len(columns) else None

    def to_row(record: Any) -> list[Value]:
        row = list(values_of(record))
        for place, encode in encodes:
            row[place] = encode(row[place])
        if of_record is not None:
            row.append(of_record(record))
        return row

    return to_row


def _reader(columns: Sequence[Column], make: Callable[..., R]) -> Callable[[Row], R]:
    decodes = [(n, column.decode) for n, column in enumerate(columns) if column.decode]

    def from_row(row: Row) -> R:
        values: list[Any] = list(row)
        for place, decode in decodes:
            if place < len(values):
                values[place] = decode(values[place])
        return make(*values)

    return from_row


_END_USER: Final = Column("end_user", "TEXT NOT NULL DEFAULT ''", "end_user")

OPENED: Final = Table("opened", Opened, "call_id", {"end_user": (_END_USER,)})
# Hardly ever used: which calls are open is kept beside the database (`inflight_log`).

_N_COLUMNS: Final = 4
"""Number of the first fields of `Tokens` that have columns of their own; all other counts are in JSON."""
_BEFORE_TOKENS: Final = Usage.__struct_fields__.index("tokens")
_OTHER_UNITS: Final = COUNT_COLUMNS[_N_COLUMNS:]
_NO_OTHERS: Final = (0,) * (len(TOKEN_UNITS) - _N_COLUMNS)


def _other_units(usage: Usage) -> str | None:
    """Return the JSON of counts without a column, by unit; None when there are none."""
    others = astuple(usage.tokens)[_N_COLUMNS:]
    if usage.items is NO_ITEMS and others == _NO_OTHERS:
        return None
    counts = zip(_OTHER_UNITS, (*others, *astuple(usage.items)), strict=True)
    return _json({unit: count for unit, count in counts if count})


def _usage(*values: Any) -> Usage:
    tokens_end = _BEFORE_TOKENS + _N_COLUMNS
    columns, rest = values[_BEFORE_TOKENS:tokens_end], values[tokens_end:]
    *middle, end_user, other_units = rest if len(values) == len(USAGE.names) else (*rest, "", None)
    if other_units is None:
        tokens, items = Tokens(*columns), NO_ITEMS
    else:
        counts = _decode_counts(other_units)
        others = [counts.get(unit, 0) for unit in _OTHER_UNITS]
        n_tokens = len(_NO_OTHERS)
        tokens, items = Tokens(*columns, *others[:n_tokens]), Items(*others[n_tokens:])
    fields = (*values[:_BEFORE_TOKENS], tokens, *middle, items, end_user)
    return Usage(*fields)


USAGE: Final = Table(
    "usage",
    Usage,
    "call_id",
    {
        "tokens": [
            Column(unit.value, "INTEGER NOT NULL", f"tokens.{name}")
            for unit, name in zip(TOKEN_UNITS[:_N_COLUMNS], Tokens.__struct_fields__, strict=False)
        ],
        "items": (),
        "end_user": (_END_USER, Column("other_units", "TEXT", encode=_other_units)),
    },
    _usage,
    rowid=True,
)
CHECKPOINT: Final = Table("checkpoint", Checkpoint, "call_id", verb="INSERT OR REPLACE")
CAPACITY: Final = Table("capacity", Capacity, "replica, start_ns, state")


STEP: Final = Table(
    "step",
    Step,
    "replica, start_ns, seq",
    {"duration_ns": (Column("end_ns", "INTEGER NOT NULL", "end_ns"),)},
    lambda replica, seq, start_ns, end_ns, calls: Step(
        replica, seq, start_ns, end_ns - start_ns, calls
    ),
)


_QUANTITY: Final = Column(
    "quantity",
    "INTEGER NOT NULL",
    "quantity",
    encode=lambda count: count if count < 1 << 63 else str(count).encode(),
    decode=lambda stored: int(stored) if isinstance(stored, bytes) else stored,
)
"""A count in a column of integers; as its digits where it has more than 63 bits."""
ACTIVITY: Final = Table("activity", Activity, "source, id", {"quantity": (_QUANTITY,)})
CURSOR: Final = Table("spool_cursor", SpoolCursor, "file", verb="INSERT OR REPLACE")
QUARANTINE: Final = Table(
    "quarantine", Quarantined, "source, key, body", verb="INSERT OR IGNORE", rowid=True
)
RETRACTED: Final = Table("retracted", Retracted, "source, id")

TABLES: Final[Mapping[type[Record], Table[Any]]] = {
    Opened: OPENED,
    Checkpoint: CHECKPOINT,
    Usage: USAGE,
    Capacity: CAPACITY,
    Step: STEP,
    Activity: ACTIVITY,
    SpoolCursor: CURSOR,
    Quarantined: QUARANTINE,
    Retracted: RETRACTED,
}
"""The table of each record type."""

_META = "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_VERSION = f"INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}')"
_BY_OPENING = "CREATE INDEX usage_by_opening ON usage (opened_ns, call_id)"


def _of_leg(path: str, name: str, default: Any) -> str:
    """Return a column of the view of legs; JSON lacks what has its default."""
    found = f"json_extract(leg.value, '$.{path}')"
    if default is not msgspec.NODEFAULT and default is not None:
        found = f"coalesce({found}, {default!r})"
    return f"{found} AS {name}"


def _leg_counts(record: type[msgspec.Struct], path: str, suffix: str = "") -> str:
    names = record.__struct_fields__
    return ",".join(_of_leg(f"{path}.{name}", f"{name}{suffix}", 0) for name in names)


_LEG_COLUMNS: Final = ",\n  ".join(
    _leg_counts(Tokens, "tokens", "_tokens")
    if one.name == "tokens"
    else _of_leg(one.name, one.name, one.default)
    for one in fields_of(Leg)
    if one.name != "items"
)
_LEG_VIEW: Final = f"""
CREATE VIEW leg AS SELECT
  call_id,
  leg.key AS attempt,
  {_LEG_COLUMNS},
  {_leg_counts(Items, "items")}
FROM usage, json_each(usage.legs) AS leg
"""

_STEP_CALL_COLUMNS: Final = ",\n  ".join(
    f"json_extract(call.value, '$[{n}]') AS {name}"
    for n, name in enumerate(StepCall.__struct_fields__)
)
_STEP_CALL_VIEW: Final = f"""
CREATE VIEW step_call AS SELECT
  replica,
  seq,
  start_ns,
  {_STEP_CALL_COLUMNS}
FROM step, json_each(step.calls) AS call
"""

SEALING: Final = (
    "CREATE TABLE IF NOT EXISTS sealed_segment (name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS sealed_activity (
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (source, id)
) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS sealed_usage (call_id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID",
    "INSERT OR IGNORE INTO meta VALUES ('journal_id', lower(hex(randomblob(16))))",
)
"""Tables that `archive.journal` keeps in a journal; safe to create again."""

SHIPPING: Final = (
    """CREATE TABLE IF NOT EXISTS outbox (
  position INTEGER NOT NULL PRIMARY KEY,
  body BLOB NOT NULL,
  digest TEXT NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS outbox_acknowledged (
  position INTEGER NOT NULL PRIMARY KEY,
  at_ns INTEGER NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS received_run (
  node TEXT NOT NULL,
  run TEXT NOT NULL,
  begins INTEGER NOT NULL,
  position INTEGER NOT NULL,
  digest TEXT NOT NULL,
  records INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (node, run)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS sealed_retracted (
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (source, id)
) WITHOUT ROWID""",
)
"""Tables of version 9: what a node has to ship, how far a hub has received each run of each node, and which
retractions are in the lake.
"""

SCHEMA: Final = (
    _META,
    *(table.create() for table in TABLES.values()),
    _BY_OPENING,
    _LEG_VIEW,
    _STEP_CALL_VIEW,
    *SEALING,
    *SHIPPING,
    _VERSION,
)
"""The statements that make an empty journal."""

_TO_4: Final[Mapping[int, tuple[str, ...]]] = {
    1: (
        "ALTER TABLE opened ADD COLUMN end_user TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE usage ADD COLUMN end_user TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE usage ADD COLUMN other_units TEXT",
    ),
    3: (  # in which a view showed the open calls, that were rows of JSON
        f"CREATE TABLE open_before AS SELECT {', '.join(OPENED.names)} FROM opened",
        "DROP VIEW opened",
        "DROP TABLE opening",
        f"CREATE TABLE opened ({OPENED.columns} PRIMARY KEY (call_id)) WITHOUT ROWID",
        "INSERT INTO opened SELECT * FROM open_before",
        "DROP TABLE open_before",
    ),
}
_TO_5: Final = tuple(
    f"ALTER TABLE {table.name} ADD COLUMN checksum INTEGER"
    for table in TABLES.values()
    if table is not RETRACTED
)
_TO_6: Final = (RETRACTED.create(),)
_TO_7: Final = ("DROP VIEW leg", _LEG_VIEW)
"""To 8 nothing changes, but an older program does not know of quantities in digits."""

MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    version: (
        *_TO_4.get(version, ()),
        *(_TO_5 if version < 5 else ()),
        *(_TO_6 if version < 6 else ()),
        *(_TO_7 if version < 7 else ()),
        *(SHIPPING if version < 9 else ()),
    )
    for version in READABLE
}
"""The statements that take a journal of each version to this one."""
