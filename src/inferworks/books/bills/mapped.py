"""A table as its mapping makes it: rows in, rows of a kind of ours out. Pure.

The source columns of each column of ours are known, so it is made once of each text, or combination of
texts; most rows of a bill share theirs with others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Final, NamedTuple

from inferworks.books.bills.mapping import (
    EPOCHS,
    MONTH,
    BillMapping,
    Filled,
    LeftOut,
    Names,
)
from inferworks.books.bills.paths import Cells, roots_of, text_at, texts_at
from inferworks.books.bills.spelling import (
    PLAIN_NUMBER,
    Sort,
    Spelling,
    Unread,
    number,
    readable,
)
from inferworks.books.bills.tables import Batch, T, Table, worked
from inferworks.books.bills.twice import SPANS
from inferworks.books.bills.units import EXACT, decimal, in_our_unit, moved, our_moment, written
from inferworks.errors import NoBillError

_OURS_TO_READ: Final = frozenset(
    {"x_LineId", "x_NaturalClass", "x_RevenueItem", "x_ChargeId", "Id"}
)

Make = Callable[[Cells], str]
"""Makes the text of a column of ours from a row; ValueError with a reason when it cannot."""


class Made(NamedTuple):
    """Source columns of a column of ours, and the function that makes it."""

    sources: tuple[str, ...]
    """The columns of the file, or paths into them, that `make` looks at."""
    make: Callable[[Cells], str | Unread]


def mapped(table: Table, mapping: BillMapping, spelling: Spelling) -> Table:
    """`table` as rows of the kind that `mapping` makes of it.

    NoBillError when a column that it names is not there: for a mapping that recognises files by their
    columns one that its kind needs, else any.
    """
    missing = missing_columns(table.header, mapping)
    if missing:
        columns = ", ".join(table.header)[:200]
        raise NoBillError(
            f"the mapping {mapping.name} names {', '.join(missing)}, which is not there; the columns are: "
            f"{columns}"
        )
    names, kind = _found(Names(table.header), mapping), mapping.of_kind
    sources = {
        name: [names[source] for how in ways for source in how.sources if source in names]
        for name, ways in mapping.filled().items()
    }
    labels = {name: found[0] for name, found in sources.items() if found and found[0] != name}
    made = _columns(table, mapping, names, spelling)
    zeros = {name: "0" for name in kind.empty if kind.sorts.get(name) is Sort.NUMBER}
    constants = {**zeros, **mapping.constants}
    rules = [_left_out(rule, names) for rule in mapping.leave_out]
    theirs = {source for how in mapping.places() for source in how.sources}
    used = {*theirs, *(names[source] for source in theirs if source in names)}
    used.update(filter(None, map(Names(table.header).find, mapping.ignore)))
    used.update(made if mapping.keep_names else ())
    batches = (
        _made_of(left_over(batch, rules), made, labels, constants, used) for batch in table.batches
    )
    if mapping.at_least:
        batches = (_lasting(batch, mapping.at_least) for batch in batches)
    if mapping.beside:
        batches = (_with_beside(batch, mapping.beside) for batch in batches)
    digits = {
        name: [table.floats[one] for one in sources.get(name) or [name] if one in table.floats]
        for name in made
    }
    return table._replace(
        header=tuple(dict.fromkeys((*made, *constants, *kind.empty))),
        batches=batches,
        floats={name: min(found) for name, found in digits.items() if found},
    )


def _columns(
    table: Table, mapping: BillMapping, names: Mapping[str, str], spelling: Spelling
) -> dict[str, Made]:
    """Return the makers of our columns: the mapping, else the file's own column of that name."""
    sorts = mapping.of_kind.sorts
    ways: dict[str, list[tuple[Sequence[str], Make]]] = {
        name: [
            (
                [names.get(source, source) for source in how.sources],
                _made(name, how, names, sorts.get(name), spelling, table),
            )
            for how in filled
        ]
        for name, filled in mapping.filled().items()
    }
    if mapping.keep_names:
        for name in table.header:
            if name in mapping.of_kind.columns:
                ways.setdefault(name, []).append(([name], _kept(name, spelling)))
    return {name: _first(found) for name, found in ways.items()}


def sorts_for(header: Sequence[str], mapping: BillMapping) -> dict[str, Sort]:
    """Return the sorts of the columns from which `mapping` takes numbers, moments and currencies."""
    names, kind = Names(header), mapping.of_kind
    sorts: dict[str, Sort] = {}
    for name, ways in mapping.filled().items():
        sort = kind.sorts.get(name)
        for how in ways:
            if sort is None or how.unit in (*EPOCHS, MONTH, "h:mm:ss") or how.text:
                continue
            for source in how.sources:
                column = names.find(source)
                if column is not None:
                    sorts[column] = sort
    if mapping.keep_names:
        sorts.update({name: kind.sorts[name] for name in header if name in kind.sorts})
    return sorts


LeftOutBy = tuple[str, Callable[[Cells], bool]]
"""A column or path, and whether a row with that in it is no line of its own."""


def left_out_by(mapping: BillMapping, header: Sequence[str]) -> list[LeftOutBy]:
    """Return the rules by which the mapping leaves out rows that are no lines of their own."""
    names = _found(Names(header), mapping)
    return [_left_out(rule, names) for rule in mapping.leave_out]


def left_over(batch: Batch, rules: Sequence[LeftOutBy]) -> Batch:
    """The rows that no rule leaves out."""
    if not rules:
        return batch
    tests = [_each(batch, (source,), test) for source, test in rules]
    return batch.only([at for at, found in enumerate(zip(*tests, strict=True)) if not any(found)])


def _each(batch: Batch, sources: Sequence[str], make: Callable[[Cells], T]) -> list[T]:
    """Return `make` of each row, given the cells of `sources`."""
    roots = dict.fromkeys(root for source in sources for root in roots_of(source))
    there = [root for root in roots if root in batch.columns]
    if not there:
        return [make({})] * len(batch.numbers) if batch.numbers else []
    if len(there) == 1:
        [name] = there
        return worked(batch.columns[name], lambda text: make({name: text}))
    together = list(zip(*(batch.columns[name] for name in there), strict=True))
    return worked(together, lambda texts: make(dict(zip(there, texts, strict=True))))


def _made_of(
    batch: Batch,
    made: Mapping[str, Made],
    labels: Mapping[str, str],
    constants: Mapping[str, str],
    used: set[str],
) -> Batch:
    columns: dict[str, Sequence[str]] = {
        name: [text] * len(batch.numbers) for name, text in constants.items()
    }
    for name, texts in batch.columns.items():
        if name not in used:
            ours = name if name.startswith("x_") else f"x_{name}"
            if ours != name and ours in _OURS_TO_READ:
                ours = f"x_their_{name}"
            columns[ours] = _over(columns.get(ours), texts)
    wrong: dict[int, dict[str, str]] = defaultdict(dict)
    for name, (sources, make) in made.items():
        texts = readable(_each(batch, sources, make), labels.get(name, name), wrong)
        columns[name] = _over(columns[name], texts) if name in constants else texts
    return batch._replace(columns=columns).without(wrong)


def _over(below: Sequence[str] | None, texts: Sequence[str]) -> Sequence[str]:
    """`texts`, and what is `below` where there is none."""
    if below is None:
        return texts
    return [text or under for text, under in zip(texts, below, strict=True)]


def _lasting(batch: Batch, at_least: str) -> Batch:
    """The rows; what begins and ends at one moment lasts `at_least`."""
    columns, wrong = dict(batch.columns), defaultdict[int, dict[str, str]](dict)
    for start, end in SPANS:
        if start not in columns or end not in columns:
            continue

        def later(span: tuple[str, str]) -> str | Unread:
            if not span[0] or span[0] != span[1]:
                return span[1]
            try:
                return moved(span[0], at_least)
            except ValueError as error:
                return Unread(f"{span[0][:60]!r}: {error}")

        spans = list(zip(columns[start], columns[end], strict=True))
        columns[end] = readable(worked(spans, later), start, wrong)
    return batch._replace(columns=columns).without(wrong)


def _with_beside(batch: Batch, beside: Mapping[str, Sequence[str]]) -> Batch:
    """The rows; to a number that is less than its parts these are added: it was counted without them."""
    columns = dict(batch.columns)
    for name, parts in beside.items():
        there = [columns[column] for column in (name, *parts) if column in columns]
        if name in columns and len(there) > 1:
            columns[name] = worked(list(zip(*there, strict=True)), _whole_of)
    return batch._replace(columns=columns)


def _whole_of(texts: Sequence[str]) -> str:
    """The first of these numbers, or where the others come to more, the sum of all."""
    if not all(PLAIN_NUMBER.fullmatch(text) for text in texts if text):
        return texts[0]  # its reader says what is wrong with it
    whole, *parts = (decimal(text or "0") for text in texts)
    total = sum(parts, Decimal(0))
    return written(whole + total) if total > whole else texts[0]


def _kept(name: str, spelling: Spelling) -> Make:
    """Return the function that makes a column that keeps its name."""
    return lambda cells: spelling.canonical(name, cells.get(name, "").strip())


def missing_columns(header: Sequence[str], mapping: BillMapping) -> list[str]:
    """The columns that the mapping needs and a file with this header has not."""
    found = _found(Names(header), mapping)
    strict, needed = mapping.recognise is None, mapping.of_kind.required
    missing: list[str] = []
    for name, ways in mapping.filled().items():
        if not strict and name not in needed:
            continue
        for how in ways:
            there = [source in found for source in how.sources]
            some_do = (how.add or how.text) and not strict
            if how.default or all(there) or (some_do and any(there)):
                break
        else:
            lacking = (source for how in ways for source in how.sources if source not in found)
            missing.append(" or ".join(lacking))
    return missing


def _found(names: Names, mapping: BillMapping) -> dict[str, str]:
    """The columns by the names that the mapping gives them; a path is found by what it begins with."""
    wanted = chain(
        *(how.sources for how in mapping.places()),
        (rule.column for rule in mapping.leave_out),
        (how.in_name for how in mapping.places() if how.in_name),
    )
    found: dict[str, str] = {}
    for name in wanted:
        column = names.find(name)
        root = re.split(r"\.|\[\]", name)[0]
        if column is None and root != name and names.find(root):
            column = (names.find(root) or root) + name[len(root) :]
        if column is not None:
            found[name] = column
    return found


def _left_out(rule: LeftOut, names: Mapping[str, str]) -> LeftOutBy:
    column = names.get(rule.column, rule.column)
    words = frozenset(word.casefold() for word in rule.is_)
    starts = rule.starts.casefold()

    def test(cells: Cells) -> bool:
        text = text_at(cells, column).casefold()
        if rule.empty:
            return not text
        return text in words or bool(starts and text.startswith(starts))

    return column, test


def _first(ways: Sequence[tuple[Sequence[str], Make]]) -> Made:
    """Return the maker of the first text that any of `ways`, each with its sources, makes."""
    makes = [make for _, make in ways]

    def tried(cells: Cells) -> str | Unread:
        try:
            return next((text for make in makes if (text := make(cells))), "")
        except ValueError as error:
            return Unread(str(error))

    return Made(tuple(source for sources, _ in ways for source in sources), tried)


def _made(
    name: str,
    how: Filled,
    names: Mapping[str, str],
    sort: Sort | None,
    spelling: Spelling,
    table: Table,
) -> Make:
    """Return the function that makes the column `name` of ours."""
    raw = _raw(how, names, spelling, table)
    words = {word.casefold(): text for word, text in how.words.items()}
    mark = spelling.marks.get(names.get(how.column, how.column), ".")

    def make(cells: Cells) -> str:
        text = raw(cells)
        if how.before:
            text = text.partition(how.before)[0].strip() if how.before in text else ""
        if how.after and how.after in text:
            text = text.partition(how.after)[2].strip()
        if words and text:
            fallback = text if how.otherwise is None else how.otherwise
            text = words.get(text.casefold(), fallback)
        text = text or how.default
        if not text or sort is None:
            return text
        if sort is Sort.NUMBER:
            return in_our_unit(name, text, how, "." if how.add else mark)
        if sort is Sort.MOMENT:
            return our_moment(text, how, spelling)
        return text.upper() if len(text) == 3 and text.isalpha() else text

    return make


def _raw(how: Filled, names: Mapping[str, str], spelling: Spelling, table: Table) -> Make:
    """Return the function that finds the text of which a column is made."""
    if how.above:
        above = table.above.get(how.above, "")
        return lambda _: above
    if how.in_name:
        column = names.get(how.in_name, "")
        inside = (Names(()).star(how.in_name, column) or "") if column else ""
        inside = {"$": "USD", "€": "EUR", "£": "GBP"}.get(inside, inside)
        return lambda _: inside
    sources = [names.get(source, source) for source in how.sources]
    if not sources:
        return lambda _: how.text
    if how.join:
        return lambda cells: " ".join(filter(None, (text_at(cells, s) for s in sources)))
    if how.add:
        marks = [spelling.marks.get(source, ".") for source in sources]
        return lambda cells: _sum(cells, sources, marks)
    if how.text:
        template = re.split(r"\{[^{}]+\}", how.text)
        return lambda cells: _templated(template, [text_at(cells, s) for s in sources])
    return lambda cells: text_at(cells, sources[0])


def _templated(parts: Sequence[str], texts: Sequence[str]) -> str:
    """The parts with the texts between them; what is between two empty ones is left out."""
    if not any(texts):
        return ""
    out = parts[0]
    for text, after in zip(texts, parts[1:], strict=True):
        out += text + after
    return re.sub(r"(?:, )+(?=, |$)|^(?:, )+|\(\)", "", out).strip()


def _sum(cells: Cells, sources: Sequence[str], marks: Sequence[str]) -> str:
    texts = [
        number(text, mark)
        for source, mark in zip(sources, marks, strict=True)
        for text in texts_at(cells, source)
    ]
    if not texts:
        return ""
    total = Decimal(0)
    for text in texts:
        total = EXACT.add(total, decimal(text))
    return written(total)
