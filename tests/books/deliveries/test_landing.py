"""Theorems 16 and 17: which lines are there does not depend on how, when and how often they came."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.deliveries.parts import series_of
from inferworks.books.repository.store import BookStore

DAYS = 6
AMOUNTS = ("0.005", "1.00", "-2.5", "0.4838709677419368", "6.65679E-09", "0.0000000000005")

Row = dict[str, str]


class File(NamedTuple):
    """A file as it is handed in."""

    name: str
    raw: bytes


def a_row(day: int, amount: str, resource: str = "vm-1", **more: str) -> Row:
    """A line of FOCUS for a day of November."""
    return {
        "BilledCost": amount,
        "BillingCurrency": "USD",
        "BillingAccountId": "acct-1",
        "BillingPeriodStart": "2026-11-01T00:00:00Z",
        "ChargePeriodStart": f"2026-11-{day:02}T00:00:00Z",
        "ChargePeriodEnd": f"2026-11-{day + 1:02}T00:00:00Z",
        "InvoiceIssuerName": "A Cloud",
        "ServiceCategory": "Compute",
        "ResourceId": resource,
        "InvoiceId": "",
        **more,
    }


def as_csv(rows: Sequence[Row]) -> bytes:
    """The rows as they are."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_odd_csv(rows: Sequence[Row]) -> bytes:
    """Columns and rows in another order, moments and amounts spelled otherwise."""
    odd = [
        {
            name: text.replace("T00:00:00Z", " 01:00:00+01:00") if "Period" in name else text
            for name, text in reversed(row.items())
        }
        | {"BilledCost": f"{Decimal(row['BilledCost']):E}", "SkuMeter": "Box", "InvoiceId": "INV-1"}
        for row in reversed(rows)
    ]
    return as_csv(odd)


def as_json_lines(rows: Sequence[Row]) -> bytes:
    """An object a line, empty columns left out."""
    lines = ({name: text for name, text in row.items() if text} for row in rows)
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def as_parquet(rows: Sequence[Row]) -> bytes:
    """With real moments and decimals."""
    columns: dict[str, object] = {}
    for name in rows[0]:
        texts = [row[name] for row in rows]
        if "Period" in name:
            moments = [dt.datetime.fromisoformat(text) for text in texts]
            columns[name] = pa.array(moments, pa.timestamp("us", "UTC"))
        elif name == "BilledCost":
            columns[name] = pa.array(list(map(Decimal, texts)), pa.decimal128(38, 20))
        else:
            columns[name] = pa.array([text or None for text in texts], pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


FORMS = {"csv": as_csv, "odd.csv": as_odd_csv, "jsonl": as_json_lines, "parquet": as_parquet}


def a_file(name: str, rows: Sequence[Row], form: str = "csv") -> File:
    """The rows in one of the forms."""
    return File(f"{name}.{form.removeprefix('odd.')}", FORMS[form](rows))


def take_in(store: BookStore, *files: File) -> list[tuple[str, ...]]:
    """Give `files` in one command; the questions that each leaves."""
    reader = FocusBillReader()
    for file in files:
        bill = bill_file(file.name, file.raw)
        store.stage_lines(reader.lines(bill, "USD", no_progress), series_of("/bills", file.name))
    return [outcome.questions for outcome in store.land()]


def there(store: BookStore) -> Counter[tuple[object, ...]]:
    """The lines in the books, by what does not depend on where they were read; no rounding line."""
    return Counter(
        (c.id, c.period_start_ns, c.resource_id, c.amount_pico, c.exact and Decimal(c.exact))
        for c in store.charges()
        if c.service_name != "Rounding"
    )


def alone(*rows: Row) -> Counter[tuple[object, ...]]:
    """Lines in the books when one file of `rows` is all that came."""
    with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
        assert take_in(store, a_file("alone", rows)) == [()]
        return there(store)


def foots(store: BookStore, rows: Sequence[Row]) -> None:
    """Theorem 17: the exact total, rounded once, is what the lines and the rounding line come to."""
    exact = sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))
    rounded = exact.quantize(Decimal("1E-12"), ROUND_HALF_EVEN)
    assert sum(charge.amount_pico for charge in store.charges()) == int(rounded.scaleb(12))
    in_force = [one for one in store.imports() if one.state == "in force"]
    assert sum(Decimal(total.exact) for one in in_force for total in one.totals.values()) == exact


def pieces_of(rows: Sequence[Row], dice: random.Random) -> list[File]:
    """`rows` cut at random into the parts of one export."""
    parts: list[list[Row]] = [[] for _ in range(dice.randint(1, 3))]
    for row in rows:
        dice.choice(parts).append(row)
    return [
        a_file(f"part-{number:05}", part, dice.choice(list(FORMS)))
        for number, part in enumerate(parts)
        if part
    ]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(1, DAYS), st.sampled_from(AMOUNTS), st.sampled_from(["a", "b"])),
        min_size=1,
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=12, deadline=None)
def test_any_files_in_any_order_give_the_same_lines(
    drawn: list[tuple[int, str, str]], dice: random.Random
) -> None:
    """Theorem 16: exports of the month to date, whole and in parts, in all forms, more than once.

    And theorem 17 of what is in the books then.
    """
    rows = [a_row(*one) for one in drawn]
    commands: list[list[File]] = [[a_file("final", rows, dice.choice(list(FORMS)))]]
    for day in range(2, DAYS + 1):
        to_date = [row for row in rows if row["ChargePeriodEnd"] <= f"2026-11-{day:02}T"]
        if to_date:
            commands.append([a_file(f"to-{day}", to_date, dice.choice(list(FORMS)))])
    commands += [pieces_of(rows, dice), dice.choice(commands)]
    dice.shuffle(commands)
    with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
        for files in commands:
            dice.shuffle(files)
            assert not any(take_in(store, *files))
        assert there(store) == alone(*rows)
        foots(store, rows)


@pytest.mark.parametrize("turned", [False, True])
def test_a_restated_export_of_the_month_to_date(tmp_path: Path, turned: bool) -> None:
    """Theorem 16: the one that reaches further stands, whichever came last."""
    tenth = [a_row(9, "1.00"), a_row(10, "0.40")]
    twelfth = [a_row(9, "1.00"), a_row(10, "1.00"), a_row(11, "0.30")]
    files = [a_file("on-the-10th", tenth), a_file("on-the-12th", twelfth)]
    with BookStore(tmp_path / "books.db") as store:
        for file in reversed(files) if turned else files:
            assert take_in(store, file) == [()]
        assert there(store) == alone(*twelfth)


def test_alike_lines_keep_their_ids_and_what_comes_later_amends_them(tmp_path: Path) -> None:
    """Theorem 16: an invoice number and a tag arrive; a gap in a later file takes nothing back."""
    first, later = [a_row(1, "1")], [a_row(1, "1", InvoiceId="INV-1", Tags='{"team": "ml"}')]
    with BookStore(tmp_path / "books.db") as store:
        take_in(store, a_file("first", first))
        [before] = store.charges()
        for rows in (later, first):
            assert take_in(store, a_file(f"later-{len(rows[0])}", rows)) == [()]
            [after] = store.charges()
            assert (after.id, after.invoice) == (before.id, "INV-1")
            assert dict(after.other)["Tags"] == '{"team": "ml"}'


def test_what_cannot_be_told_is_asked(tmp_path: Path) -> None:
    """The same days with other lines: nothing is added, and the amount stands under each answer."""
    with BookStore(tmp_path / "books.db") as store:
        take_in(store, a_file("first", [a_row(1, "1"), a_row(2, "2")]))
        [[question]] = take_in(store, a_file("second", [a_row(1, "1"), a_row(2, "7")]))
        assert "2 lines of first.csv (3.00 USD) from 2026-11-01 to 2026-11-03" in question
        assert "--part if both count (11.00 USD in all), or with --replace" in question
        assert "(8.00 USD in all)" in question
        assert sum(charge.amount_pico for charge in store.charges()) == 3 * 10**12
        assert [asked.file for asked in store.questions()] == ["second.csv"]


def test_a_bill_may_say_one_thing_in_any_form(tmp_path: Path) -> None:
    """Theorem 16: each of the forms is a duplicate of each other."""
    rows = [a_row(1, amount) for amount in AMOUNTS]
    with BookStore(tmp_path / "books.db") as store:
        for form in FORMS:
            assert take_in(store, a_file("bill", rows, form)) == [()]
        assert there(store) == alone(*rows)
