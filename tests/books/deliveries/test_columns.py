"""Lines read by columns: the bytes of a line are those of a charge on its own."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import (
    ArrivingLines,
    PartSum,
    arriving_lines,
    charge_row,
    sort_of,
)
from inferworks.books.deliveries.canonical import (
    FOCUS,
    decimal_text,
    delivery_of,
    line_of,
    told_invoice,
)
from inferworks.books.deliveries.columns import LineColumns, coded, lines_of
from inferworks.testing.books import a_charge

json = msgspec.json.Encoder().encode


def one_text(number: str | None) -> str | None:
    """The one way to write a number."""
    return None if number is None else decimal_text(number)


def columns_of(charges: list[Charge]) -> LineColumns:
    """The columns that a reader gives for `charges`, all without columns of their own."""
    deliveries = [delivery_of(FOCUS, charge) for charge in charges]
    numbers = {"row", "period_start_ns", "period_end_ns", "amount_pico"}
    fields = {
        name: [
            getattr(charge, name) if name in numbers else json(getattr(charge, name))
            for charge in charges
        ]
        for name in Charge.__struct_fields__
        if name not in ("id", "line")
    }
    told = [told_invoice(*pair) for pair in zip(deliveries, charges, strict=True)]
    return LineColumns(
        file=charges[0].file if charges else "",
        file_sha256=charges[0].file_sha256 if charges else "",
        deliveries=deliveries,
        sorts=list(map(sort_of, charges)),
        sort_places=range(len(charges)),
        currencies=[charge.currency for charge in charges],
        deliveries_json=list(map(json, deliveries)),
        fields=fields,
        lines=[json(charge.line) if charge.line else b"" for charge in charges],
        about_lines=[json(charge.line) for charge in charges],
        starts_ns=[charge.period_start_ns for charge in charges],
        ends_ns=[charge.period_end_ns for charge in charges],
        amounts_pico=[charge.amount_pico for charge in charges],
        exacts=[charge.exact for charge in charges],
        exacts_json=[json(one_text(charge.exact)) for charge in charges],
        effective=[str(charge.effective_pico).encode() for charge in charges],
        quantities=[json(one_text(charge.quantity)) for charge in charges],
        invoices=told,
        invoices_json=list(map(json, told)),
        about=[b""] * len(charges),
        carried=[b""] * len(charges),
    )


def a_line(name: str, amount: str, start: int = 0, **changes: object) -> Charge:
    """A line of ten nanoseconds."""
    return a_charge(name, amount, (start, start + 10), **changes)


def never(_: Charge) -> Charge | None:
    """Refuse to convert."""
    raise AssertionError("nothing had to be converted")


def test_no_lines_have_no_columns() -> None:
    """An empty block is a block without lines, deliveries and sums."""
    found = lines_of(columns_of([]), "USD", never)
    assert (len(found), found.deliveries, found.sums, found.bodies) == (0, [], [], [])
    assert found.lines == ((), (), ())


def test_lines_are_those_of_charges_on_their_own() -> None:
    """Names, bytes, checksums and sums: with and without a name, in two deliveries, with odd letters."""
    charges = [
        a_line("line-1", "1.5", description='Caf\u00e9 "x"\\'),
        a_line("", "-2", 40 * 86_400 * 10**9, exact=None, effective_pico=-3, quantity="24"),
        a_line("line-1", "1.5", description='Caf\u00e9 "x"\\'),
        a_line("", "0", region_id="eu", department="sales", resource=None, invoice=""),
    ]
    found = lines_of(columns_of(charges), "USD", never)
    [alone] = arriving_lines(FOCUS, charges)
    assert by_line(found) == by_line(alone)
    assert list(found.deliveries) == list(alone.deliveries)
    assert list(found.sums) == list(alone.sums)


def test_lines_in_another_currency_are_converted_and_summed_as_billed() -> None:
    """The euro line is kept in dollars, at twice its amount; the total of the bill stays in euros."""
    dollars, euros = a_line("line-1", "1"), a_line("line-2", "3", currency="EUR")

    def twice(charge: Charge) -> Charge:
        return replace(charge, currency="USD", amount_pico=2 * charge.amount_pico)

    found = lines_of(columns_of([dollars, euros]), "USD", twice)
    assert list(found.amounts_pico) == [str(10**12), str(6 * 10**12)]
    assert [charge.currency for charge in found.charges()] == ["USD", "USD"]
    named = line_of(delivery_of(FOCUS, euros), euros)
    assert found.lines[0][1] == named.name
    assert found.sums[0].pico == {"USD": 10**12, "EUR": 3 * 10**12}
    assert found.checksums[1] == charge_row(found.charge(1))[5]


def test_lines_that_cannot_be_converted_stay_as_they_are() -> None:
    """The file is refused then; until it is, its lines are as billed."""
    found = lines_of(columns_of([a_line("line-1", "3", currency="EUR")]), "USD", lambda _: None)
    assert found.charge(0).currency == "EUR"
    assert list(found.amounts_pico) == [str(3 * 10**12)]


def test_the_sum_of_columns_is_that_of_lines() -> None:
    """Two lines finer than a picounit among one that is not."""
    fine = [a_line("", "0", day, exact="0.0000000000004") for day in (0, 20)]
    charges = [*fine, a_line("", "1", 40)]
    [found] = lines_of(columns_of(charges), "USD", never).sums
    total = PartSum()
    for charge in charges:
        total.add(line_of(delivery_of(FOCUS, charge), charge), charge)
    assert found == total


@pytest.mark.parametrize(
    ("values", "different", "places"),
    [
        ([], [], []),
        (["a"], ["a"], [0]),
        (["b", "a", "b", "b", "c", "a"], ["b", "a", "c"], [0, 1, 0, 0, 2, 1]),
    ],
)
def test_values_are_coded_by_their_first_places(
    values: list[str], different: list[str], places: list[int]
) -> None:
    """Each value once, in the order in which they come, and of all their places among those."""
    assert coded(values) == (different, places)


CELLS = st.text('0a1-. T:e\u0301"é', max_size=6) | st.sampled_from(
    ["", "NULL", "1.50", "007", "1E3", "2026-11-01", "2026-11-01T00:00:00Z", '{"a": "b"}']
)
TOLD = {
    "BilledCost": "1.5",
    "BillingCurrency": "USD",
    "ChargePeriodStart": "2026-11-03",
    "ChargePeriodEnd": "2026-11-04",
    "InvoiceIssuerName": "A Cloud",
}
OTHER = (
    "SkuId", "Tags", "ListCost", "BillingAccountId", "x_More", "SubAccountId", "InvoiceId",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "CommitmentDiscountStatus", "ConsumedQuantity",
    "ConsumedUnit", "ProviderName", "RegionId", "ResourceId", "ResourceType", "ServiceCategory",
    "ServiceName", "x_LineId", "BillingPeriodStart",
)  # fmt: skip


@settings(max_examples=30)
@given(st.lists(st.tuples(*[CELLS] * len(OTHER)), min_size=1, max_size=6))
def test_a_line_has_one_name_read_by_columns_or_on_its_own(rows: list[tuple[str, ...]]) -> None:
    """A block of rows read by columns gives each line the name that it has on its own."""
    file = io.StringIO()
    csv.writer(file).writerows([(*TOLD, *OTHER), *((*TOLD.values(), *row) for row in rows)])
    bill = bill_file("a.csv", file.getvalue().encode())
    [read, *more] = FocusBillReader().lines(bill, "USD", no_progress)
    [alone] = arriving_lines("focus", read.charges())
    assert len(read) == len(rows)
    assert not any(map(len, more))
    assert by_line(read) == by_line(alone)
    assert dict(zip(read.deliveries, read.sums, strict=True)) == dict(
        zip(alone.deliveries, alone.sums, strict=True)
    )


def by_line(lines: ArrivingLines) -> list[tuple[object, ...]]:
    """All that stands in the books of each line, with its sort."""
    return list(
        zip(
            [lines.deliveries[place] for place in lines.places],
            [lines.sorts[place] for place in lines.sort_places],
            *lines.lines,
            lines.starts_ns,
            lines.ends_ns,
            lines.bodies,
            lines.checksums,
            lines.amounts_pico,
            strict=True,
        )
    )
