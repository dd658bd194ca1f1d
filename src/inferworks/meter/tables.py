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
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from inferworks.checksum import row_checksum
from inferworks.errors import DamagedError
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, NodeId, ProjectId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step, StepCall
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.usage import (
    NO_ITEMS,
    Checkpoint,
    Confidence,
    Items,
    Leg,
    Opened,
    Outcome,
    Tokens,
    Usage,
)
from inferworks.purpose import Purpose
from inferworks.units import Unit

SCHEMA_VERSION: Final = 8
"""Raised by one whenever a table changes. A writer brings an older journal up to it (`MIGRATIONS`); a
newer one is refused."""
READABLE: Final = range(1, SCHEMA_VERSION + 1)
"""The versions that a reader reads as they are."""

Value: TypeAlias = str | int | bytes | None
Row: TypeAlias = tuple[Value, ...]
R = TypeVar("R")

_encode = msgspec.json.Encoder().encode
_decode_leg = msgspec.json.Decoder(Leg).decode
_decode_legs = msgspec.json.Decoder(tuple[Leg, ...]).decode
_decode_calls = msgspec.json.Decoder(tuple[StepCall, ...]).decode
_decode_counts = msgspec.json.Decoder(dict[str, int]).decode


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """Table of records of one type, with their conversion to rows and back."""

    name: str
    columns: str
    """Column definitions as in `CREATE TABLE`, one per line, without the checksum and the key."""
    key: str
    """The primary key's columns."""
    to_row: Callable[[R], Row]
    from_row: Callable[[Any], R]
    verb: str = "INSERT"
    """Statement for a taken key: `INSERT` refuses, `... OR REPLACE` and `... OR IGNORE` do as they say."""
    rowid: bool = False
    """True if SQLite numbers the rows. Large ones are then appended and only their key is sorted in, which
    takes half the time; small ones do better without.
    """
    names: tuple[str, ...] = field(init=False)
    """The columns' names, in order, without the checksum's."""

    def __post_init__(self) -> None:
        names = tuple(line.split()[0] for line in self.columns.strip().splitlines())
        object.__setattr__(self, "names", names)

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
        return (*row, row_checksum(self.name, row))

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


def _opened_row(opened: Opened) -> Row:
    return (
        opened.call_id,
        opened.opened_ns,
        opened.customer,
        opened.project,
        opened.key_id,
        opened.purpose.value,
        opened.endpoint,
        opened.model,
        int(opened.stream),
        opened.request_bytes,
        opened.end_user,
    )


def _opened(row: Any) -> Opened:
    call_id, opened_ns, customer, project, key_id, purpose, endpoint, model, stream, size = row[:10]
    return Opened(
        call_id=CallId(call_id),
        opened_ns=opened_ns,
        customer=CustomerId(customer),
        project=ProjectId(project),
        key_id=KeyId(key_id),
        purpose=Purpose(purpose),
        endpoint=endpoint,
        model=ModelId(model),
        stream=bool(stream),
        request_bytes=size,
        end_user=row[10] if len(row) > 10 else "",
    )


OPENED: Final = Table(
    "opened",
    """
  call_id TEXT NOT NULL,
  opened_ns INTEGER NOT NULL,
  customer TEXT NOT NULL,
  project TEXT NOT NULL,
  key_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  model TEXT NOT NULL,
  stream INTEGER NOT NULL,
  request_bytes INTEGER NOT NULL,
  end_user TEXT NOT NULL DEFAULT '',
""",
    "call_id",
    _opened_row,
    _opened,
    # Hardly ever used: which calls are open is kept beside the database (`openings`).
)


_TOKEN_COLUMNS: Final = 4
"""The first fields of `Tokens` have columns of their own; the others are in `other_units`."""
_OTHER_TOKENS: Final = tuple(f"{name}_tokens" for name in Tokens.__struct_fields__[_TOKEN_COLUMNS:])


def _other_units(tokens: Tokens, items: Items) -> str | None:
    """Return the JSON of counts without a column, by unit; None when there are none."""
    if items is NO_ITEMS and not (
        tokens.cache_write
        or tokens.cache_write_1h
        or tokens.input_audio
        or tokens.output_audio
        or tokens.input_image
        or tokens.output_image
    ):
        return None
    others = msgspec.structs.astuple(tokens)[_TOKEN_COLUMNS:]
    counts = dict(zip(_OTHER_TOKENS, others, strict=True)) | msgspec.structs.asdict(items)
    return _encode({unit: count for unit, count in counts.items() if count}).decode()


def _with_other_units(columns: Any, other_units: str | None) -> tuple[Tokens, Items]:
    """The tokens and items of a row, the other way round."""
    if other_units is None:
        return Tokens(*columns), NO_ITEMS
    counts = _decode_counts(other_units)
    tokens = Tokens(*columns, *(counts.get(unit, 0) for unit in _OTHER_TOKENS))
    return tokens, Items(*(counts.get(unit, 0) for unit in Items.__struct_fields__))


def _usage_row(usage: Usage) -> Row:
    tokens = usage.tokens
    return (
        usage.call_id,
        usage.customer,
        usage.project,
        usage.key_id,
        usage.purpose.value,
        usage.endpoint,
        usage.model,
        int(usage.stream),
        usage.opened_ns,
        usage.first_byte_ns,
        usage.closed_ns,
        usage.outcome.value,
        usage.status,
        usage.error_code,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.reasoning,
        usage.confidence.value,
        usage.request_bytes,
        usage.response_bytes,
        _encode(usage.legs).decode(),
        usage.end_user,
        _other_units(tokens, usage.items),
    )


def _usage(row: Any) -> Usage:
    end_user, other_units = row[22:] or ("", None)
    tokens, items = _with_other_units(row[14:18], other_units)
    return Usage(
        call_id=CallId(row[0]),
        customer=CustomerId(row[1]),
        project=ProjectId(row[2]),
        key_id=KeyId(row[3]),
        purpose=Purpose(row[4]),
        endpoint=row[5],
        model=ModelId(row[6]),
        stream=bool(row[7]),
        opened_ns=row[8],
        first_byte_ns=row[9],
        closed_ns=row[10],
        outcome=Outcome(row[11]),
        status=row[12],
        error_code=row[13],
        tokens=tokens,
        confidence=Confidence(row[18]),
        request_bytes=row[19],
        response_bytes=row[20],
        legs=_decode_legs(row[21]),
        items=items,
        end_user=end_user,
    )


USAGE: Final = Table(
    "usage",
    """
  call_id TEXT NOT NULL,
  customer TEXT NOT NULL,
  project TEXT NOT NULL,
  key_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  model TEXT NOT NULL,
  stream INTEGER NOT NULL,
  opened_ns INTEGER NOT NULL,
  first_byte_ns INTEGER,
  closed_ns INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  status INTEGER NOT NULL,
  error_code TEXT,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  confidence TEXT NOT NULL,
  request_bytes INTEGER NOT NULL,
  response_bytes INTEGER NOT NULL,
  legs TEXT NOT NULL,
  end_user TEXT NOT NULL DEFAULT '',
  other_units TEXT,
""",
    "call_id",
    _usage_row,
    _usage,
    rowid=True,
)


def _checkpoint_row(checkpoint: Checkpoint) -> Row:
    return (
        checkpoint.call_id,
        checkpoint.at_ns,
        _encode(checkpoint.leg).decode(),
        checkpoint.response_bytes,
    )


def _checkpoint(row: Any) -> Checkpoint:
    call_id, at_ns, leg, response_bytes = row
    return Checkpoint(CallId(call_id), at_ns, _decode_leg(leg), response_bytes)


CHECKPOINT: Final = Table(
    "checkpoint",
    """
  call_id TEXT NOT NULL,
  at_ns INTEGER NOT NULL,
  leg TEXT NOT NULL,
  response_bytes INTEGER NOT NULL,
""",
    "call_id",
    _checkpoint_row,
    _checkpoint,
    verb="INSERT OR REPLACE",
)


def _capacity_row(capacity: Capacity) -> Row:
    return (
        capacity.replica,
        capacity.node,
        capacity.state.value,
        capacity.start_ns,
        capacity.end_ns,
        capacity.duration_ns,
    )


def _capacity(row: Any) -> Capacity:
    replica, node, state, start_ns, end_ns, duration_ns = row
    return Capacity(ReplicaId(replica), NodeId(node), State(state), start_ns, end_ns, duration_ns)


CAPACITY: Final = Table(
    "capacity",
    """
  replica TEXT NOT NULL,
  node TEXT NOT NULL,
  state TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
""",
    "replica, start_ns, state",
    _capacity_row,
    _capacity,
)


def _step_row(step: Step) -> Row:
    calls = _encode(step.calls).decode()
    return (step.replica, step.seq, step.start_ns, step.start_ns + step.duration_ns, calls)


def _step(row: Any) -> Step:
    replica, seq, start_ns, end_ns, calls = row
    return Step(ReplicaId(replica), seq, start_ns, end_ns - start_ns, _decode_calls(calls))


STEP: Final = Table(
    "step",
    """
  replica TEXT NOT NULL,
  seq INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  calls TEXT NOT NULL,
""",
    "replica, start_ns, seq",
    _step_row,
    _step,
)


def _stored_count(count: int) -> int | bytes:
    """`count` for a column of integers; as its digits where it has more than 63 bits."""
    return count if count < 1 << 63 else str(count).encode()


def _activity_row(activity: Activity) -> Row:
    return (
        activity.source,
        activity.id,
        activity.resource,
        activity.purpose.value,
        activity.customer,
        activity.start_ns,
        activity.end_ns,
        _stored_count(activity.quantity),
        activity.unit.value,
        activity.description,
    )


def _activity(row: Any) -> Activity:
    source, id_, resource, purpose, customer, start_ns, end_ns, quantity, unit, description = row
    return Activity(
        source=source,
        id=id_,
        resource=resource,
        purpose=Purpose(purpose),
        customer=None if customer is None else CustomerId(customer),
        start_ns=start_ns,
        end_ns=end_ns,
        quantity=int(quantity) if isinstance(quantity, bytes) else quantity,
        unit=Unit(unit),
        description=description,
    )


ACTIVITY: Final = Table(
    "activity",
    """
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  resource TEXT NOT NULL,
  purpose TEXT NOT NULL,
  customer TEXT,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  unit TEXT NOT NULL,
  description TEXT NOT NULL,
""",
    "source, id",
    _activity_row,
    _activity,
)


def _cursor_row(cursor: SpoolCursor) -> Row:
    return (
        cursor.file,
        cursor.replica,
        cursor.node,
        cursor.offset,
        cursor.state.value,
        cursor.covered_ns,
        cursor.last_seq,
        int(cursor.finished),
    )


def _cursor(row: Any) -> SpoolCursor:
    file, replica, node, offset, state, covered_ns, last_seq, finished = row
    return SpoolCursor(
        file=file,
        replica=ReplicaId(replica),
        node=NodeId(node),
        offset=offset,
        state=State(state),
        covered_ns=covered_ns,
        last_seq=last_seq,
        finished=bool(finished),
    )


CURSOR: Final = Table(
    "spool_cursor",
    """
  file TEXT NOT NULL,
  replica TEXT NOT NULL,
  node TEXT NOT NULL,
  offset INTEGER NOT NULL,
  state TEXT NOT NULL,
  covered_ns INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  finished INTEGER NOT NULL,
""",
    "file",
    _cursor_row,
    _cursor,
    verb="INSERT OR REPLACE",
)


def _quarantined_row(item: Quarantined) -> Row:
    return (item.source, item.key, item.reason, item.body, item.existing)


def _quarantined(row: Any) -> Quarantined:
    return Quarantined(*row)


QUARANTINE: Final = Table(
    "quarantine",
    """
  source TEXT NOT NULL,
  key TEXT NOT NULL,
  reason TEXT NOT NULL,
  body TEXT NOT NULL,
  existing TEXT,
""",
    "source, key, body",
    _quarantined_row,
    _quarantined,
    verb="INSERT OR IGNORE",
    rowid=True,
)


def _retracted_row(one: Retracted) -> Row:
    return (one.source, one.id, one.start_ns, one.end_ns, one.at_ns, one.by, one.reason)


def _retracted(row: Any) -> Retracted:
    return Retracted(*row)


RETRACTED: Final = Table(
    "retracted",
    """
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  by TEXT NOT NULL,
  reason TEXT NOT NULL,
""",
    "source, id",
    _retracted_row,
    _retracted,
)

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


def _leg_count(group: str, field: str, column: str) -> str:
    return f"coalesce(json_extract(leg.value, '$.{group}.{field}'), 0) AS {column}"


_LEG_VIEW = f"""
CREATE VIEW leg AS SELECT
  call_id,
  leg.key AS attempt,
  json_extract(leg.value, '$.offer') AS offer,
  json_extract(leg.value, '$.provider') AS provider,
  json_extract(leg.value, '$.replica') AS replica,
  json_extract(leg.value, '$.started_ns') AS started_ns,
  json_extract(leg.value, '$.first_token_ns') AS first_token_ns,
  json_extract(leg.value, '$.ended_ns') AS ended_ns,
  json_extract(leg.value, '$.outcome') AS outcome,
  json_extract(leg.value, '$.status') AS status,
  {",".join(_leg_count("tokens", name, f"{name}_tokens") for name in Tokens.__struct_fields__)},
  json_extract(leg.value, '$.confidence') AS confidence,
  coalesce(json_extract(leg.value, '$.region'), '') AS region,
  coalesce(json_extract(leg.value, '$.chip'), '') AS chip,
  coalesce(json_extract(leg.value, '$.service_tier'), '') AS service_tier,
  json_extract(leg.value, '$.told_cost_pico') AS told_cost_pico,
  coalesce(json_extract(leg.value, '$.told_currency'), 'USD') AS told_currency,
  coalesce(json_extract(leg.value, '$.ended_by'), '') AS ended_by,
  coalesce(json_extract(leg.value, '$.left_out'), '') AS left_out,
  {",".join(_leg_count("items", name, name) for name in Items.__struct_fields__)}
FROM usage, json_each(usage.legs) AS leg
"""

_STEP_CALL_VIEW = """
CREATE VIEW step_call AS SELECT
  replica,
  seq,
  start_ns,
  json_extract(call.value, '$[0]') AS call_id,
  json_extract(call.value, '$[1]') AS prefill_tokens,
  json_extract(call.value, '$[2]') AS decode_tokens,
  json_extract(call.value, '$[3]') AS context_tokens
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

SCHEMA: Final = (
    _META,
    *(table.create() for table in TABLES.values()),
    _BY_OPENING,
    _LEG_VIEW,
    _STEP_CALL_VIEW,
    *SEALING,
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
    )
    for version in READABLE
}
"""The statements that take a journal of each version to this one."""
