"""Reports of use elsewhere, in files: calls of another gateway, machine time, stored bytes.

    source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens
    gateway-b,req-17,openai,gpt-5,acme,serve-paid,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,812,96

    source,id,node,purpose,start,end,seconds
    slurm,job-4711,gpu-3,train-gradient,2026-11-21T00:00:00Z,2026-11-21T06:00:00Z,21540.5

    bucket,purpose,start,end,bytes,customer
    datasets,data-prep,2026-11-01,2026-12-01,1200000000000,

Each row is one report by (source, id), as over HTTP (`meter.events`), with the same limits. The kind
follows from the header. Lines of CloudEvents in JSON are read too, so that sent events can be sent again
from a file. Without `source` the one of the command is used. A row of storage without an `id` is named by
bucket, span, purpose and customer: the same span of a bucket counts once. `seconds` may be left out where
the node was occupied from start to end; storage has `byte_seconds`, or `bytes` that were held from start
to end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    fingerprint,
    header_of,
    read_rows,
    require_columns,
)
from inferworks.books.bills.sense import ALWAYS_NS, NOT_DONE_YET
from inferworks.errors import BillError
from inferworks.meter.events import (
    ACTIVITY_TYPE,
    CALL_TYPE,
    ActivityData,
    CallData,
    Reported,
    activity_of,
    call_of,
    starts_ns,
)
from inferworks.meter.usage import COUNT_COLUMNS, Outcome
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND, Unit

Data = TypeVar("Data", ActivityData, CallData)

STORAGE: Final = "storage"
_PICO_PER_NS: Final = 1000
_DIGITS: Final = 30
"""Digits of the longest number of a report: an exabyte held for a month, and some more."""
_COUNTS: Final = (*COUNT_COLUMNS, "request_bytes", "response_bytes", "status")
_WORDS: Final = (
    "provider", "model", "customer", "purpose", "project", "endpoint", "region", "outcome",
    "service_tier", "told_currency", "ended_by", "end_user",
)  # fmt: skip
_COLUMN_OF: Final = {"start_ns": "start", "end_ns": "end", "told_cost_pico": "told_cost"}


_REASONS: Final = {
    r"Object missing required field (?P<column>\w+)": "must not be empty",
    r"Expected str of length >= 1": "must not be empty",
    r"Expected str of length <= (\d+)": "must have at most {0} characters",
    r"Expected int >= (-?\d+)": "must be at least {0}",
    r"Expected int <= (\d+)": "must be at most {0}",
    r"Expected str matching regex .*": "must be the code of a currency, such as USD",
    r"Expected (\w+), got (\w+)": "must be {0}, and is {1}",
}
"""Patterns of the faults of an event, with the texts that report them of a cell."""
_MOMENTS: Final = frozenset({"start_ns", "end_ns"})
_CHOICES: Final[Mapping[str, Iterable[str]]] = {
    "purpose": Purpose,
    "outcome": Outcome,
    "unit": Unit,
}


class Event(NamedTuple):
    """A row as the event it stands for."""

    type: str
    source: str
    id: str
    data: Mapping[str, Any]


class Kind(NamedTuple):
    """A kind of report: the columns that tell it, those it must have, and how a row is read."""

    name: str
    told_by: frozenset[str]
    required: tuple[str, ...]
    read: Callable[[Cells], Event | None]


def kind_of(header: Sequence[str]) -> Kind | None:
    """The kind of report that files with these columns hold."""
    return next((kind for kind in KINDS if kind.told_by <= set(header)), None)


def read_reports(
    bill: BillFile, source: str, progress: Progress, until_ns: int = ALWAYS_NS
) -> tuple[list[Reported], list[Problem]]:
    """The reports in `bill` that can be accepted, and what is wrong with the rest.

    `source` is that of rows which name none; nothing begins at `until_ns` or later. BillError when the file
    is of no kind of report.
    """
    kind = kind_of(header_of(bill))
    if kind is None:
        raise BillError(
            f"{bill.name}: neither calls (columns id, provider, model, start, end, ...), machine time "
            "(id, node, purpose, start, end), stored bytes (bucket, purpose, start, end, bytes) nor "
            f"CloudEvents; its columns are: {', '.join(header_of(bill))[:120]}"
        )
    require_columns(bill, kind.required)
    problems: list[Problem] = []
    reports: list[Reported] = []
    for cells in read_rows(bill, problems, progress):
        good_before = len(problems)
        event = kind.read(cells)
        report = _report(event, source, cells) if event and len(problems) == good_before else None
        if report is not None and starts_ns(report) >= until_ns:
            cells.note("start" if "start" in cells.row else "data", NOT_DONE_YET)
        if report is not None and len(problems) == good_before:
            reports.append(report)
    return reports, problems


def _report(event: Event, source: str, cells: Cells) -> Reported | None:
    """The report of an event; None, and noted why, when it is none."""
    source = event.source or source
    for column, text in (("source", source), ("id", event.id)):
        if not 0 < len(text) <= 256:
            cells.note(column, "must have 1 to 256 characters")
    try:
        if event.type == ACTIVITY_TYPE:
            return activity_of(source, event.id, _convert(event.data, ActivityData))
        return call_of(source, event.id, _convert(event.data, CallData))
    except msgspec.ValidationError as error:
        column, reason = _in_our_words(str(error))
        cells.note(column, reason)
    except ValueError as error:
        cells.note("", str(error))
    return None


def _in_our_words(told: str) -> tuple[str, str]:
    """The column, and what is wrong with its cell."""
    what, _, where = told.replace("`", "").partition(" - at $.")
    if where in _MOMENTS:
        return _COLUMN_OF[where], "must lie between 1970 and 2116"
    for pattern, words in _REASONS.items():
        found = re.fullmatch(pattern, what)
        if found is not None:
            column = found.groupdict().get("column") or where
            return _COLUMN_OF.get(column, column), words.format(*found.groups())
    if where in _CHOICES:
        what = f"must be one of {', '.join(_CHOICES[where])}"
    return _COLUMN_OF.get(where, where), what


def _convert(data: Mapping[str, Any], type_: type[Data]) -> Data:
    return msgspec.convert(
        {name: value for name, value in data.items() if value is not None}, type_
    )


def _call(cells: Cells) -> Event:
    start_ns, end_ns = _span(cells)
    counts = {name: _count(cells, name) for name in _COUNTS if cells.optional(name)}
    words = {name: cells.optional(name) for name in _WORDS}
    told = {"told_cost_pico": cells.amount_pico("told_cost")} if cells.optional("told_cost") else {}
    data = {**words, **counts, **told, "start_ns": start_ns, "end_ns": end_ns}
    return Event(CALL_TYPE, cells.optional("source") or "", cells.text("id"), data)


def _machine_time(cells: Cells) -> Event:
    start_ns, end_ns = _span(cells)
    busy_ns = end_ns - start_ns
    if cells.optional("seconds"):
        busy_ns, rest = divmod(cells.amount_pico("seconds"), _PICO_PER_NS)
        if rest or busy_ns < 0:
            cells.note("seconds", "must be zero or more, with at most nine decimals")
    data = _activity(cells, "node", Unit.NODE_NS, (start_ns, end_ns), busy_ns)
    return Event(ACTIVITY_TYPE, cells.optional("source") or "", cells.text("id"), data)


def _storage(cells: Cells) -> Event:
    start_ns, end_ns = _span(cells)
    if cells.optional("byte_seconds"):
        quantity = _count(cells, "byte_seconds")
    else:
        quantity = _count(cells, "bytes") * (end_ns - start_ns) // NS_PER_SECOND
    data = _activity(cells, "bucket", Unit.BYTE_SECONDS, (start_ns, end_ns), quantity)
    about = [cells.optional(name) for name in ("bucket", "purpose", "customer")]
    id_ = cells.optional("id") or fingerprint([*about, str(start_ns), str(end_ns)])
    return Event(ACTIVITY_TYPE, cells.optional("source") or STORAGE, id_, data)


def _cloud_event(cells: Cells) -> Event | None:
    """A line that holds a CloudEvent in JSON."""
    type_ = cells.text("type")
    if cells.text("specversion") != "1.0" or type_ not in (ACTIVITY_TYPE, CALL_TYPE):
        cells.note("type", f"must be {ACTIVITY_TYPE} or {CALL_TYPE}, of specversion 1.0")
        return None
    try:
        data = msgspec.json.decode(cells.text("data"), type=dict[str, Any])
    except msgspec.DecodeError:
        cells.note("data", "must be a JSON object")
        return None
    for name in _NUMBERS & data.keys():  # rows carry numbers as the text they were written as
        text = data[name]
        if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            data[name] = int(text)
    return Event(type_, cells.text("source"), cells.text("id"), data)


def _activity(
    cells: Cells, resource: str, unit: Unit, span: tuple[int, int], quantity: int
) -> dict[str, Any]:
    return {
        "resource": cells.text(resource),
        "purpose": cells.text("purpose"),
        "start_ns": span[0],
        "end_ns": span[1],
        "quantity": quantity,
        "unit": unit,
        "customer": cells.optional("customer"),
        "description": cells.optional("description"),
    }


def _span(cells: Cells) -> tuple[int, int]:
    start_ns, end_ns = cells.moment_ns("start"), cells.moment_ns("end")
    if end_ns < start_ns:
        cells.note("end", "must not be before the start")
    return start_ns, end_ns


def _count(cells: Cells, column: str) -> int:
    """A whole number, also where a Parquet file or a spreadsheet wrote it as 812.0."""
    pico = cells.amount_pico(column)
    whole, rest = divmod(pico, 10**12)
    if rest or whole < 0:
        cells.note(column, "must be a whole number, zero or more")
    return whole


_NUMBERS = frozenset({*_COUNTS, "start_ns", "end_ns", "quantity", "told_cost_pico"})

KINDS: Final = (
    Kind(
        "events",
        frozenset({"specversion", "data"}),
        ("specversion", "type", "source", "id", "data"),
        _cloud_event,
    ),
    Kind(STORAGE, frozenset({"bucket", "purpose"}), ("start", "end"), _storage),
    Kind(
        "calls",
        frozenset({"provider", "model"}),
        ("id", "start", "end", "customer", "purpose"),
        _call,
    ),
    Kind("machine-time", frozenset({"node", "purpose"}), ("id", "start", "end"), _machine_time),
)
"""The kinds of report, tried in this order."""
