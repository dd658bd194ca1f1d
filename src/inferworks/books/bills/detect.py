"""Detection of the kind and layout of a file, by its header and its cells, never by its name.

The header (some programs write the invoice's number and total above it) and the separator are found by
known headers: the first line that some reader recognises, split in one of four ways. An unknown header is
the first line with a name in each cell above a line of as many cells.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from inferworks.books.bills import forms
from inferworks.books.bills.base import (
    BillFile,
    BillReader,
    header_of,
    open_bill,
    require_columns,
)
from inferworks.books.bills.columns import sorts_of
from inferworks.books.bills.mapped import (
    LeftOutBy,
    left_out_by,
    left_over,
    missing_columns,
    sorts_for,
)
from inferworks.books.bills.mapping import BillMapping, Names
from inferworks.books.bills.spelling import NOTHING_GIVEN, GivenSpelling, Spelling, Survey
from inferworks.books.bills.tables import (
    Form,
    begins_json,
    json_document,
    open_table,
    rows_at,
)
from inferworks.errors import BillError, NoBillError

_SEPARATORS: Final = (",", ";", "\t", "|")
_LINES_ABOVE: Final = 100
_HEAD_CHARACTERS: Final = 256 * 1024
_PATHS: Final = ("[]", "data[]", "results[]", "rows[]", "items[]")
"""Usual paths of the rows of a JSON document."""
_VALUE: Final = re.compile(r"[-+$€£(]*\d[\d.,:/ TZ)%-]*")

Known = Callable[[Sequence[str]], bool]
"""Predicate of a header: it is that of a file we can read."""


def understood(
    bill: BillFile,
    known: Known,
    stated: GivenSpelling = NOTHING_GIVEN,
    mappings: Sequence[BillMapping] = (),
    given: BillMapping | None = None,
    *,
    assuming: bool = False,
) -> BillFile:
    """`bill` with where its rows are, how it is written and, where it is not ours, its mapping.

    With `assuming` it is not read to find out how it is written, where nothing speaks for anything but
    our own way: who reads it meets SpelledOtherwiseError where it is not so, and asks again without.

    `given` is the mapping for what it fits; `mappings` are those that know files by their columns.
    BillError, with one question, when its numbers or days could be read in two ways.
    """

    def fits(header: Sequence[str]) -> bool:
        if given is not None and given.columns and not missing_columns(header, given):
            return True
        return known(header) or any(mapping.recognises(header) for mapping in mappings)

    recognised = [m.recognise for m in (given, *mappings) if m is not None and m.recognise]
    paths = [recognise.rows for recognise in recognised if recognise.rows]
    bill = bill._replace(form=form_of(bill, fits, paths))
    header = header_of(bill)
    mapping = next((mapping for mapping in mappings if mapping.recognises(header)), None)
    fits_given = given is not None and not missing_columns(header, given)
    if fits_given or (mapping is None and not known(header)):
        mapping = given
    bill = bill._replace(mapping=mapping)
    header_of(bill)  # says which columns a mapping names that are not there
    return _surveyed(bill, stated, assuming=assuming)


def open_ours(
    path: Path, columns: Sequence[str], stated: GivenSpelling = NOTHING_GIVEN
) -> BillFile:
    """The file at `path`, in whatever form and spelling; BillError unless it has these `columns`."""
    bill = understood(open_bill(path), lambda header: set(columns) <= set(header), stated)
    require_columns(bill, columns)
    return bill


def near(header: Sequence[str], mappings: Sequence[BillMapping]) -> str:
    """Return the known kind that a file is most like, and what it lacks for it; empty if like none."""
    names = Names(header)
    likely: list[tuple[int, str, str]] = []
    for mapping in mappings:
        if mapping.recognise is not None:
            wanted = mapping.recognise.columns
            missing = [name for name in wanted if names.find(name) is None]
            if missing and len(missing) <= len(wanted) // 2:
                likely.append((len(missing), mapping.title, ", ".join(missing)))
    if not likely:
        return ""
    _, title, lacks = min(likely)
    return f"it is like {title}, but has no column {lacks}"


def _surveyed(bill: BillFile, stated: GivenSpelling, *, assuming: bool) -> BillFile:
    """`bill` with how its numbers, moments and currencies are written."""
    table, mapping = open_table(bill.name, bill.raw, bill.form), bill.mapping
    header = table.header
    sorts = sorts_of(header) if mapping is None else sorts_for(header, mapping)
    sorts = {name: sort for name, sort in sorts.items() if name not in table.typed}
    codes: list[str] = []
    rules: list[LeftOutBy] = []
    if mapping is not None:
        form = mapping.form
        stated = GivenSpelling(
            stated.mark or form.decimal_mark, stated.order or form.dates, stated.zone or form.zone
        )
        codes = [
            c for name, c in mapping.constants.items() if name in ("BillingCurrency", "currency")
        ]
        rules = left_out_by(mapping, header)
    if not sorts and not rules:
        return bill._replace(spelling=Spelling(order=stated.order, zone=stated.zone))
    doubtful = bill.form.separator == ";"
    if assuming and not (doubtful or rules or any(stated)):
        return bill._replace(assumed=sorts)
    survey = Survey(bill.name, sorts, doubtful=doubtful, stated=stated)
    left_out = 0
    for batch in table.batches:
        left = left_over(batch, rules)
        left_out += len(batch.numbers) - len(left.numbers)
        survey.add(table.place, left)
    spelling = survey.spelling(codes)
    remarks = tuple(survey.remarks(spelling))
    return bill._replace(spelling=spelling, left_out=left_out, remarks=remarks)


def form_of(bill: BillFile, known: Known, paths: Iterable[str] = ()) -> Form:
    """Return the form of `bill`: the place of its rows and the separator of their cells."""
    head = forms.head_of(bill.name, bill.raw)
    if forms.is_parquet(head):
        return bill.form
    if begins_json(head, bill.form.encoding):
        return bill.form._replace(rows=_path(bill, known, paths))
    encoding = forms.encoding_of(head, bill.form.encoding)
    lines = head.decode(encoding, errors="replace")[:_HEAD_CHARACTERS].splitlines()[:_LINES_ABOVE]
    lines = list(forms.bare_lines(lines))
    for skip, line in enumerate(lines):
        for separator in _SEPARATORS:
            if known(_cells(line, separator)):
                return bill.form._replace(separator=separator, skip=skip)
    _, order, above = max(_likely(lines), default=(0, 0, 0))
    return bill.form._replace(separator=_SEPARATORS[-order], skip=-above)


def _likely(lines: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """The places where a header may be: its width, and what it is cut and preceded by, negated."""
    for order, separator in enumerate(_SEPARATORS):
        rows = [_cells(line, separator) for line in lines]
        for skip, (row, below) in enumerate(pairwise(rows)):
            is_named = (
                all(row) and len(set(row)) == len(row) and not any(map(_VALUE.fullmatch, row))
            )
            if len(row) == len(below) > 1 and is_named:
                yield len(row), -order, -skip
                break


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [
            forms.bare(cell).strip() for cell in next(csv.reader([line], delimiter=separator), [])
        ]
    except csv.Error:
        return []


def _path(bill: BillFile, known: Known, paths: Iterable[str]) -> str:
    """Return the path of the rows of a JSON file; empty if a row is a line, or if it is unknown."""
    with suppress(BillError):
        if known(open_table(bill.name, bill.raw, bill.form._replace(rows="")).header):
            return ""
    try:
        document = json_document(bill.name, bill.raw, bill.form.encoding)
    except BillError:
        return ""  # lines that are objects make no document; what is wrong with them is said later
    for path in (*paths, *_PATHS):
        first = next(rows_at(document, path), None)
        if isinstance(first, dict) and known(list(first)):
            return path
    return "[]" if isinstance(document, list) else ""


def reader_for(
    bill: BillFile, readers: Sequence[BillReader], mappings: Sequence[BillMapping] = ()
) -> BillReader:
    """The first of `readers` that recognises `bill`; NoBillError when none does."""
    header = header_of(bill)
    for reader in readers:
        if reader.recognises(header):
            return reader
    seen = ", ".join(header)[:120]
    likely = near(header, mappings)
    if likely:
        raise NoBillError(
            f"{bill.name}: {likely}; export it with that, or say which column is what, beginning with: "
            f"inferworks books map {bill.name}; its columns are: {seen}"
        )
    raise NoBillError(
        f"{bill.name}: neither a FOCUS bill (columns BilledCost, ChargePeriodStart, ...) nor a time "
        "sheet (columns person, start, end, minutes, ...), payroll, depreciation schedule, voucher, "
        "storage or rates file, nor an export that is known (see docs/costs-in.md); to say which column "
        f"is what, begin with: inferworks books map {bill.name}; its columns are: {seen}"
    )
