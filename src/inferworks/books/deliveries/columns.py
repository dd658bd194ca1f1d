"""Lines of a bill, named and encoded column by column, without an object for each.

Problem. A bill has a million lines, and most texts of a line stand in thousands of others. A `Charge` for
each, encoded for its three names and once more for the books, takes most of the time of an import.

Decision. A reader gives the JSON of each field as a column, each text encoded once. What a line is named by
(`canonical.line_of`), and the line as it is kept (`Charge`), are put together from these pieces. The bytes
are those of a charge on its own, which tests hold against them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final, NamedTuple, TypeVar

from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import (
    ArrivingLines,
    PartSum,
    Sort,
    charge_row,
    decoded,
)
from inferworks.books.deliveries.canonical import Delivery, line_of_json
from inferworks.checksum import long_row_checksum

_ABOUT: Final = b"[%b,%b,%d,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,[%b]]"
_SAID: Final = b'[%d,"%d",%b,"%b",%b]'
_CARRIED: Final = b"[%b,%b,%b,%b,[%b]]"
_NUMBERS: Final = frozenset({"row", "period_start_ns", "period_end_ns", "amount_pico"})
_BODY: Final = b"{%b}" % b",".join(
    (b'"%b":%%d' if name in _NUMBERS else b'"%b":%%b') % name.encode()
    for name in Charge.__struct_fields__
)

K = TypeVar("K", bound=Hashable)


class LineColumns(NamedTuple):
    """Columns of some lines of a bill, all as it was billed."""

    file: str
    file_sha256: str
    deliveries: Sequence[Delivery]
    sorts: Sequence[Sort]
    sort_places: Sequence[int]
    currencies: Sequence[str]
    deliveries_json: Sequence[bytes]
    fields: Mapping[str, Iterable[bytes | int]]
    """The fields of `Charge`, but `id` and `line`: JSON, or numbers where there is always one."""
    lines: Sequence[bytes]
    """The JSON of the name that the bill gives the line; empty where it gives none."""
    about_lines: Sequence[bytes]
    """The same as it tells lines apart."""
    starts_ns: Sequence[int]
    ends_ns: Sequence[int]
    amounts_pico: Sequence[int]
    exacts: Sequence[str | None]
    """Amounts that are finer than a picounit, as they are written."""
    exacts_json: Iterable[bytes]
    """JSON of the one text of each amount that is finer than a picounit; else `null`."""
    effective: Sequence[bytes]
    """Effective costs in picounits; `None` where there is none."""
    quantities: Sequence[bytes]
    """JSON of the one text of each quantity, or `null`."""
    invoices: Sequence[str]
    """Numbers of invoices (`canonical.told_invoice`)."""
    invoices_json: Sequence[bytes]
    about: Sequence[bytes]
    """Columns that tell the subject of the line (`canonical.ABOUT`), as JSON without brackets."""
    carried: Sequence[bytes]
    """Columns that the line carries, so."""


def lines_of(
    columns: LineColumns, currency: str, convert: Callable[[Charge], Charge | None]
) -> ArrivingLines:
    """Return the lines in order, in `currency` as far as `convert` can convert them."""
    fields = columns.fields
    abouts = zip(
        columns.deliveries_json,
        columns.about_lines,
        columns.starts_ns,
        fields["charge_category"],
        fields["charge_class"],
        fields["description"],
        fields["service_category"],
        fields["service_name"],
        fields["resource_id"],
        fields["resource_type"],
        fields["region_id"],
        fields["unit"],
        fields["currency"],
        columns.about,
        strict=True,
    )
    said = zip(
        columns.ends_ns, columns.amounts_pico, columns.exacts_json, columns.effective,
        columns.quantities, strict=False,
    )  # fmt: skip
    carried = zip(
        columns.invoices_json,
        fields["provider"],
        fields["natural_class"],
        fields["department"],
        columns.carried,
        strict=True,
    )
    lines = map(
        line_of_json,
        map(_ABOUT.__mod__, abouts),
        map(_SAID.__mod__, said),
        map(_CARRIED.__mod__, carried),
        columns.invoices,
    )
    names, about, carries, _ = zip(*lines, strict=True) if columns.deliveries else ((),) * 4
    raw = [name.encode() for name in names]
    kept = {
        **fields,
        "id": [b'"%b"' % name for name in raw],
        "line": [
            line or b'"about:%b"' % name[4:20]
            for line, name in zip(columns.lines, raw, strict=True)
        ],
    }
    bodies = list(map(_BODY.__mod__, zip(*(kept[name] for name in Charge.__struct_fields__))))  # noqa: B905
    amounts_pico = list(map(str, columns.amounts_pico))
    for place, billed in (
        enumerate(columns.currencies) if {currency} != set(columns.currencies) else ()
    ):
        charge = convert(decoded(bodies[place])) if billed != currency else None
        if charge is not None:  # otherwise the file is refused
            bodies[place], amounts_pico[place] = charge_row(charge)[4], str(charge.amount_pico)
    rows = zip(names, repeat(columns.file_sha256), columns.starts_ns, columns.ends_ns, bodies)
    deliveries, places = coded(columns.deliveries)
    sums = [PartSum() for _ in deliveries]
    alike: dict[tuple[int, str], list[int]] = defaultdict(list)
    for at, one in enumerate(zip(places, columns.currencies, strict=True)):
        alike[one].append(at)
    for (place, billed), ours in alike.items():
        sums[place].count(
            billed,
            [names[at] for at in ours],
            [columns.invoices[at] for at in ours],
            [columns.starts_ns[at] for at in ours],
            [columns.ends_ns[at] for at in ours],
            [columns.amounts_pico[at] for at in ours],
            [columns.exacts[at] for at in ours],
        )
    return ArrivingLines(
        columns.file,
        columns.file_sha256,
        deliveries,
        places,
        columns.sorts,
        columns.sort_places,
        (names, about, carries),
        columns.starts_ns,
        columns.ends_ns,
        bodies,
        [long_row_checksum("charges", row) for row in rows],
        amounts_pico,
        sums,
    )


def coded(values: Sequence[K]) -> tuple[list[K], list[int]]:
    """Return the different `values`, and of each of all its place among them."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return list(places), list(map(places.__getitem__, values))
