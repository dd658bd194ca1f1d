"""A file as a table of text: CSV, JSON Lines or Parquet, row by row.

Problem. The same bill comes as CSV from one cloud and as Parquet from another, and an amount must reach
the books as the decimal its sender wrote, whatever carried it.

Decision. Every form becomes rows of *text by column name*, and one reader per kind of file reads text.
Integers, decimals, dates and strings have one exact text. Binary floats do not: 0.1 is no sum of powers
of two. A double holds any decimal of up to 15 significant digits so that it comes back unchanged, so a
float whose shortest text has at most 15 digits is that decimal; one with more was computed, not written,
and is not accepted *as an amount* (`floats` says which columns those are, and how many digits each keeps,
for narrower floats keep fewer; `Cells` refuses them). JSON numbers are taken as they are written and are
never floats here.

Rejected. Rounding floats to twelve decimals (invents an amount the bill does not have); one reader per
form and kind (the product of both, and each would differ a little).

Rows are read batch by batch from the bytes, packed or not (`forms`), so a large file is never in memory
as text. A JSON document, which is one value and has its rows somewhere inside, is: it is bounded. A batch
is kept by column, and each text is processed once (`worked`): most of a column repeats itself.

The place of the rows and the separator of their cells are detected before (`detect`) and given as a
`Form`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from typing import Any, Final, NamedTuple, TypeVar

from inferworks.arrow import pa, pq
from inferworks.books.bills import forms
from inferworks.errors import BillError

_MOST_DOCUMENT_BYTES: Final = 256 * 2**20
_BATCH_ROWS = 1024
"""As much as the processor has at hand: a batch is gone over once for each of its columns."""
_ARROW_ROWS = 8192

_NO_OBJECT: Final = "not a JSON object of text and numbers: "
_HALF: Final = "half a surrogate pair, which is no character; write the text out whole"

T = TypeVar("T")
Text = TypeVar("Text", bound=Hashable)


class RawRow(NamedTuple):
    """One row: where it stands, and its cells, or why it has none."""

    number: int
    """The line on which it ends, or the row's number in a Parquet file; counting from 1."""
    cells: Mapping[str, str] | None
    problems: Mapping[str, str] = {}
    """Problems by column; under "" those of the row itself."""


class Batch(NamedTuple):
    """Some of the rows of a file, all with the same columns."""

    numbers: Sequence[int]
    columns: Mapping[str, Sequence[str]]
    """Of each column the texts, a row each."""
    misshapen: tuple[RawRow, ...] = ()
    """The rows among them that have no cells."""

    @property
    def rows(self) -> Iterator[RawRow]:
        """The same, row by row."""
        yield from self.misshapen
        for number, *cells in zip(self.numbers, *self.columns.values(), strict=True):
            yield RawRow(number, dict(zip(self.columns, cells, strict=True)))

    def only(self, kept: Sequence[int]) -> Batch:
        """The rows at these places."""
        columns = {name: [texts[at] for at in kept] for name, texts in self.columns.items()}
        return self._replace(numbers=[self.numbers[at] for at in kept], columns=columns)

    def without(self, wrong: Mapping[int, Mapping[str, str]]) -> Batch:
        """The rows but those that something is wrong with, by place and by column: these have no cells."""
        if not wrong:
            return self
        misshapen = (RawRow(self.numbers[at], None, why) for at, why in sorted(wrong.items()))
        kept = self.only([at for at in range(len(self.numbers)) if at not in wrong])
        return kept._replace(misshapen=(*self.misshapen, *misshapen))


def worked(texts: Sequence[Text], make: Callable[[Text], T]) -> list[T]:
    """Return `make` of each of `texts`; it is called once for each text."""
    made = {text: make(text) for text in dict.fromkeys(texts)}
    if len(made) == len(texts):
        return list(made.values())
    if len(made) == 1:
        return list(made.values()) * len(texts)
    return list(map(made.__getitem__, texts))


class Table(NamedTuple):
    """The rows of a file under its column names."""

    header: tuple[str, ...]
    batches: Iterator[Batch]
    place: str
    """Unit that a row's number counts: `line` or `row`."""
    floats: Mapping[str, int] = {}
    """The columns that hold binary floats, and how many significant digits those keep."""
    typed: frozenset[str] = frozenset()
    """The columns that the file keeps as numbers or times, so that they have one text each."""
    above: Mapping[str, str] = {}
    """Values of the lines before the header, by their first cells."""

    @property
    def rows(self) -> Iterator[RawRow]:
        """The rows one by one."""
        return chain.from_iterable(batch.rows for batch in self.batches)


def with_columns(table: Table, columns: Mapping[str, str]) -> Table:
    """`table` with `columns` that are the same in every row, but those that it has itself."""
    more = {name: text for name, text in columns.items() if name not in table.header}
    if not more:
        return table

    def widened(batch: Batch) -> Batch:
        added = {name: [text] * len(batch.numbers) for name, text in more.items()}
        return batch._replace(columns={**added, **batch.columns})

    return table._replace(header=(*table.header, *more), batches=map(widened, table.batches))


class Form(NamedTuple):
    """Layout of the text of a file."""

    encoding: str = ""
    """Encoding without a mark; empty: UTF-8."""
    separator: str = ","
    skip: int = 0
    """The lines before the header."""
    rows: str = ""
    """Path of the rows in a JSON document, such as `data[].results[]`; empty: a row is a line."""


PLAIN: Final = Form()


def open_table(name: str, raw: bytes, form: Form = PLAIN) -> Table:
    """The table in `raw`, in whichever of the three forms; BillError when it is none.

    Around its names and cells there is nothing without width.
    """
    head = forms.head_of(name, raw)
    if forms.is_parquet(head):
        table = _parquet(name, forms.random_access(name, raw))
    elif form.rows:
        objects = enumerate(rows_at(json_document(name, raw, form.encoding), form.rows), start=1)
        found = [_json_row(number, one) for number, one in objects]
        if found and all(row.cells is None for row in found):
            raise _no_row(name, "row", found[0])
        header = dict.fromkeys(column for row in found for column in row.cells or ())
        table = Table(tuple(header), _batches(iter(found)), "row")
    else:
        encoding = forms.encoding_of(head, form.encoding)
        text = io.TextIOWrapper(forms.opened(name, raw), encoding, newline="")
        lines = forms.bare_lines(text)
        if begins_json(head, form.encoding):
            rows = _json_rows(lines)
            first = next(rows)
            if first.cells is None:
                raise _no_row(name, "line", first)
            # later objects may lack some of the first one's names, and add others
            table = Table(tuple(first.cells), _batches(chain([first], rows)), "line")
        else:
            table = _csv(name, lines, form)
    batches = (
        batch._replace(columns={forms.bare(n): forms.all_bare(t) for n, t in batch.columns.items()})
        for batch in table.batches
    )
    return table._replace(header=tuple(map(forms.bare, table.header)), batches=batches)


def begins_json(head: bytes, encoding: str = "") -> bool:
    """Return True if a text that begins with `head` is JSON, lines of it or a document."""
    text = head[:256].decode(forms.encoding_of(head, encoding), errors="replace")
    text = forms.bare(text).lstrip()
    return text.startswith(("{", "[{", "[\n", "[\r", "[ "))


def _csv(name: str, lines: Iterator[str], form: Form) -> Table:
    before = list(islice(lines, form.skip))
    reader = csv.reader(lines, delimiter=form.separator, strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
    except csv.Error as error:
        raise BillError(f"{name}, line {form.skip + 1}: {_not_csv(error)}") from error
    named = len(columns)
    while named > 1 and not columns[named - 1]:
        named -= 1
    header = tuple(columns[:named])
    above: dict[str, str] = {}
    for line in before:
        cells = [cell.strip() for cell in line.strip().replace('"', "").split(form.separator)]
        if len(cells) > 1 and cells[0]:
            above.setdefault(cells[0], cells[1])
    batches = _csv_batches(reader, header, len(columns), form.skip)
    return Table(header, batches, "line", above=above)


def _not_csv(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"a cell has more than {csv.field_size_limit():,} characters; is it CSV?"
    return f"not CSV: {error}"


def _csv_batches(reader: Any, header: tuple[str, ...], width: int, skipped: int) -> Iterator[Batch]:
    """The rows below `header`, which `width` cells less its own have no name: these must be empty."""
    named, is_over = len(header), False
    is_wider = width > named
    while not is_over:
        rows: list[list[str]] = []
        numbers: list[int] = []
        misshapen: list[RawRow] = []
        is_over = True
        try:
            for values in reader:
                if len(values) != width or (is_wider and any(values[named:])):
                    if any(values):
                        reason = "has a cell in a column without a name"
                        if len(values) != width:
                            reason = f"has {len(values)} cells where the header has {width}"
                        misshapen.append(RawRow(reader.line_num + skipped, None, {"": reason}))
                    continue
                if any(values):
                    rows.append(values)
                    numbers.append(reader.line_num + skipped)
                if len(rows) == _BATCH_ROWS:
                    is_over = False
                    break
        except csv.Error as error:
            misshapen.append(RawRow(reader.line_num + skipped, None, {"": _not_csv(error)}))
        columns = dict(zip(header, zip(*rows, strict=True), strict=False))
        yield Batch(numbers, columns, tuple(misshapen))


def _batches(rows: Iterator[RawRow]) -> Iterator[Batch]:
    """Rows that follow each other and have the same columns, together."""

    def names(row: RawRow) -> tuple[str, ...] | None:
        return None if row.cells is None else tuple(row.cells)

    for columns, alike in groupby(rows, names):
        while group := list(islice(alike, _BATCH_ROWS)):
            if columns is None:
                yield Batch((), {}, tuple(group))
                continue
            cells = zip(
                *(row.cells.values() for row in group if row.cells is not None), strict=True
            )
            texts = dict(zip(columns, cells, strict=True))
            yield Batch([row.number for row in group], texts)


def _json_rows(lines: Iterator[str]) -> Iterator[RawRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found = _json(line)
            except (ValueError, RecursionError) as error:
                yield RawRow(number, None, {"": _NO_OBJECT + str(error)})
            else:
                yield _json_row(number, found)


def json_document(name: str, raw: bytes, encoding: str = "") -> Any:
    """The one JSON value in `raw`, its numbers as text; BillError when it is none or too large."""
    content = forms.opened(name, raw).read(_MOST_DOCUMENT_BYTES + 1)
    if len(content) > _MOST_DOCUMENT_BYTES:
        size = _MOST_DOCUMENT_BYTES >> 20
        raise BillError(f"{name}: a JSON document of more than {size} MiB; write a row a line")
    try:
        return _json(forms.bare(content.decode(forms.encoding_of(content[:4], encoding))))
    except (ValueError, RecursionError) as error:
        raise BillError(f"{name}: not a JSON document: {error}") from error


def rows_at(document: Any, path: str) -> Iterator[Any]:
    """Yield the values in `document` at `path`; an object on the way hands down its plain values.

    `name` steps into an object, `[]` to each item of an array, `*` to each value of an object.
    """
    steps = re.findall(r"\[\]|\*|[^.\[\]*]+", path)
    return _rows_at(document, steps, {})


def _rows_at(found: Any, steps: Sequence[str], above: Mapping[str, Any]) -> Iterator[Any]:
    match steps, found:
        case [], dict():
            yield {**above, **found}
        case [], _:
            yield found
        case ["[]", *rest], list():
            for item in found:
                yield from _rows_at(item, rest, above)
        case ["*", *rest], dict():
            for item in found.values():
                yield from _rows_at(item, rest, above)
        case [name, *rest], dict() if name in found:
            plain = {n: v for n, v in found.items() if not isinstance(v, dict | list)}
            yield from _rows_at(found[name], rest, {**above, **plain})


def _json(text: str) -> Any:
    return json.loads(
        text,
        parse_float=str,
        parse_int=str,
        parse_constant=_no_constant,
        object_pairs_hook=_once_each,
    )


def _json_row(number: int, found: Any) -> RawRow:
    """An object as a row; without cells when it is none, or has a text that is none."""
    if not isinstance(found, dict):
        return RawRow(number, None, {"": _NO_OBJECT + "not a JSON object"})
    cells: dict[str, str] = {}
    try:
        for column, value in found.items():
            text = "" if value is None else value
            if not isinstance(text, str):
                text = json.dumps(text, ensure_ascii=False, sort_keys=True, default=str)
            cells[column] = text
    except (ValueError, RecursionError) as error:
        return RawRow(number, None, {"": _NO_OBJECT + str(error)})
    if _is_text_whole("".join((*cells, *cells.values()))):
        return RawRow(number, cells)
    half = [column for column, text in cells.items() if not _is_text_whole(column + text)]
    return RawRow(number, None, {(c if _is_text_whole(c) else ""): _HALF for c in half})


def _is_text_whole(text: str) -> bool:
    """Return True if it holds no half of a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_row(name: str, place: str, row: RawRow) -> BillError:
    """Return the refusal of a file whose first row, `row`, cannot be read."""
    [(column, reason), *_] = row.problems.items()
    where = f", column {column}" if column else ""
    return BillError(f"{name}, {place} {row.number}{where}: {reason}")


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of `pairs`; ValueError when two have one name: which of them holds is a guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice!r} stands twice")
    return found


def _no_constant(text: str) -> str:
    raise ValueError(f"{text} is not a number")


def _parquet(name: str, raw: bytes) -> Table:
    from inferworks.books.bills.arrow import exact_digits

    try:
        file = pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True)
        floats = {field.name: exact_digits(field.type) for field in file.schema_arrow}
        header = tuple(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_read(name, error) from error
    kept = {column: digits for column, digits in floats.items() if digits}
    typed = frozenset(f.name for f in file.schema_arrow if not _is_text(f.type))
    return Table(header, _parquet_batches(name, file), "row", kept, typed)


def _is_text(kind: Any) -> bool:
    """Return True if values of this Arrow type are texts as their sender wrote them."""
    if isinstance(kind, pa.DictionaryType):
        return _is_text(kind.value_type)
    types = pa.types
    return not (
        types.is_temporal(kind) or types.is_integer(kind) or types.is_floating(kind)
        or types.is_decimal(kind) or types.is_boolean(kind)
    )  # fmt: skip


def _parquet_batches(name: str, file: Any) -> Iterator[Batch]:
    from inferworks.books.bills.arrow import arrow_texts

    first = 1
    try:
        for batch in file.iter_batches(batch_size=_ARROW_ROWS):
            columns: dict[str, Sequence[str]] = {}
            wrong: dict[int, dict[str, str]] = defaultdict(dict)
            for column, values in zip(batch.schema.names, batch.columns, strict=True):
                columns[column], odd = arrow_texts(values)
                for at, why in odd.items():
                    wrong[at][column] = why
            yield Batch(range(first, first + batch.num_rows), columns).without(wrong)
            first += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_read(name, error) from error


def _not_read(name: str, error: Exception) -> BillError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    if isinstance(error, pa.ArrowNotImplementedError):
        return BillError(f"{name}: holds what cannot be read here; write it as text ({reason})")
    return BillError(
        f"{name}: not a whole Parquet file, it may have been cut off; fetch it again ({reason})"
    )
