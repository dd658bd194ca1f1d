"""Several currencies, one set of books: dated rates, one conversion, no sum without one (theorem 10)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.command_line import document, run

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge
from inferworks.books.currency import (
    NO_RATES,
    RateRow,
    Rates,
    as_billed,
    converted,
    converted_pico,
)
from inferworks.books.repository.store import BookStore
from inferworks.errors import BillError, MoneyError
from inferworks.money import format_pico
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9
FIRST = dt.date(2026, 11, 1)
FIRST_NS = (FIRST - dt.date(1970, 1, 1)).days * DAY_NS
BILL = """\
BilledCost,EffectiveCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,x_LineId
100.00,90.00,EUR,2026-11-01T12:00:00Z,2026-12-01T00:00:00Z,Wolke,1
-0.000000000001,,EUR,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Wolke,2
7.00,7.00,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Cloud,3
"""


def rate(day: str, text: str, pair: tuple[str, str] = ("EUR", "USD")) -> RateRow:
    """A rate of `day`."""
    return RateRow(day, *pair, text, "a bank")


def read(rates: Rates, text: str = BILL) -> tuple[Charge, ...]:
    """The charges of a bill in books kept in dollars."""
    return FocusBillReader().read(bill_file("b.csv", text.encode()), "USD", no_progress, rates)


def test_a_charge_keeps_what_its_bill_says() -> None:
    """Amount and currency of the bill, rate, its day and its source stand beside the converted one."""
    euro, speck, dollar = read(Rates([rate("2026-10-30", "1.1012")]))
    assert (format_pico(euro.amount_pico), euro.currency) == ("110.12", "USD")
    assert euro.effective_pico == 99_108 * 10**9
    assert euro.foreign is not None
    assert (euro.foreign.currency, format_pico(euro.foreign.amount_pico)) == ("EUR", "100.00")
    assert (euro.foreign.rate, euro.foreign.rate_day, euro.foreign.rate_source) == (
        "1.1012", "2026-10-30", "a bank",
    )  # fmt: skip
    assert speck.amount_pico == -1, "rounded half to even, once"
    assert (dollar.foreign, dollar.amount_pico) == (None, 7 * 10**12)


def test_no_rate_no_import() -> None:
    """One refusal per currency, which names it and the day."""
    for rates in (NO_RATES, Rates([rate("2026-10-24", "1"), rate("2026-11-02", "1")])):
        with pytest.raises(BillError) as refused:
            read(rates)
        (line,) = str(refused.value).splitlines()
        assert line.startswith("b.csv, line 2, column BillingCurrency: 'EUR'")
        assert "no rate from EUR for 2026-11-01" in line


def test_a_quotation_counts_the_other_way_too() -> None:
    """100 euros at 1 USD = 0.9 EUR are 100 / 0.9 dollars, rounded once; the rate is told as a fraction."""
    euro, speck, _ = read(Rates([rate("2026-11-01", "0.9", ("USD", "EUR"))]))
    assert format_pico(euro.amount_pico) == "111.111111111111"
    assert (euro.effective_pico, speck.amount_pico) == (100 * 10**12, -1)
    assert euro.foreign is not None
    assert (euro.foreign.rate, euro.foreign.rate_day) == ("1/0.9", "2026-11-01")


def test_which_quotation_counts() -> None:
    """Rate of the newest day counts; of one day the direct one; none through a third currency."""
    both = [rate("2026-11-02", "0.8", ("USD", "EUR")), rate("2026-11-01", "1.2")]
    of_a_day = [rate("2026-11-01", "0.8", ("USD", "EUR")), rate("2026-11-01", "1.2")]
    third = [rate("2026-11-01", "0.9", ("GBP", "EUR")), rate("2026-11-01", "1.3", ("GBP", "USD"))]
    day = dt.date(2026, 11, 2)
    for rows, found in ((both, "1/0.8"), (of_a_day, "1.2"), (of_a_day[::-1], "1.2"), (third, None)):
        row = Rates(rows).on(day, "EUR", "USD")
        assert (None if row is None else row.rate) == found


@pytest.mark.parametrize(
    ("day", "found"),
    [("2026-10-25", "a"), ("2026-10-31", "a"), ("2026-11-01", "b"), ("2026-11-08", "b")],
)
def test_the_newest_rate_of_a_week_counts(day: str, found: str) -> None:
    """Rate of the day itself counts, else of up to seven days before."""
    rates = Rates([rate("2026-11-01", "2"), rate("2026-10-25", "1")])
    row = rates.on(dt.date.fromisoformat(day), "EUR", "USD")
    assert row is not None
    assert row.rate == {"a": "1", "b": "2"}[found]
    assert rates.on(dt.date(2026, 11, 9), "EUR", "USD") is None
    assert rates.on(dt.date(2026, 10, 24), "EUR", "USD") is None


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**14))
def test_a_conversion_is_the_nearest_picounit(amount_pico: int, rate_pico: int) -> None:
    """At most half a picounit from the exact product or quotient; a credit converts like a debit."""
    row = rate("2026-11-01", format_pico(rate_pico))
    found = converted_pico(amount_pico, row)
    assert 2 * abs(found * 10**12 - amount_pico * rate_pico) <= 10**12
    assert converted_pico(-amount_pico, row) == -found
    other_way = converted_pico(amount_pico, row.inverse)
    assert 2 * abs(other_way * rate_pico - amount_pico * 10**12) <= rate_pico
    assert converted_pico(-amount_pico, row.inverse) == -other_way


def test_half_goes_to_even() -> None:
    """Many roundings lean to no side, since half goes to even."""
    half = rate("2026-11-01", "0.5")
    assert [converted_pico(n, half) for n in (1, 3, -1, -3, 5)] == [0, 2, 0, -2, 2]
    two = rate("2026-11-01", "2").inverse
    assert [converted_pico(n, two) for n in (1, 3, -1, -3, 5)] == [0, 2, 0, -2, 2]


def test_too_large_is_refused() -> None:
    """An amount that no DECIMAL(38, 12) holds is refused."""
    with pytest.raises(MoneyError, match="too large"):
        converted_pico(10**37, rate("2026-11-01", "100"))


@given(st.integers(-(10**20), 10**20), st.none() | st.integers(-(10**20), 10**20))
def test_as_billed_undoes_a_conversion(amount_pico: int, effective_pico: int | None) -> None:
    """Amounts of the bill can always be had back."""
    euro = a_charge("x", "1", (FIRST_NS, FIRST_NS + 1), currency="EUR")
    euro = replace(euro, amount_pico=amount_pico, effective_pico=effective_pico)
    assert as_billed(converted(euro, "USD", Rates([rate("2026-11-01", "1.07")]))) == euro


def test_a_line_is_the_same_line_whatever_the_rate_of_today(tmp_path: Path) -> None:
    """Imported again after another rate is known: a duplicate, at the amount that was booked."""
    first, second = Rates([rate("2026-10-30", "1.10")]), Rates([rate("2026-11-01", "1.20")])
    with BookStore(tmp_path / "books.db") as store:
        store.add(bill_file("a.csv", b"a"), "focus", read(first), 1)
        booked = store.charges()
        assert store.add(bill_file("b.csv", b"b"), "focus", read(second), 2).duplicate == 3
        assert store.charges() == booked
        with pytest.raises(
            BillError, match=r"--replace if it stands instead \(100\.999999999999 EUR"
        ):
            store.add(
                bill_file("c.csv", b"c"), "focus", read(second, BILL.replace("100.00", "101.00")), 3
            )


def test_every_kind_of_file_converts() -> None:
    """A time sheet in another currency too."""
    header = b"person,start,end,minutes,node,activity,pay,currency,sheet\n"
    sheet = header + b"a,2026-11-01,2026-11-02,1,n,,2,EUR,s\n"
    rates = Rates([rate("2026-11-01", "1.5")])
    (shift,) = TimesheetReader().read(bill_file("s.csv", sheet), "USD", no_progress, rates)
    assert (format_pico(shift.amount_pico), shift.currency) == ("3.00", "USD")


def test_rates_are_kept_once_and_never_change(tmp_path: Path) -> None:
    """The same again is a duplicate; another rate for the day is refused by name and quarantined."""
    rows = [rate("2026-11-01", "1.10"), rate("2026-11-02", "1.11")]
    with BookStore(tmp_path / "books.db") as store:
        assert store.add_rates(bill_file("r.csv", b"1"), rows, 1)[:3] == (2, 0, 0)
        assert store.add_rates(bill_file("r.csv", b"1"), rows, 2)[:3] == (0, 2, 0)
        more = [rows[0], rate("2026-11-03", "1.12"), rate("2026-11-03", "1.12")]
        assert store.add_rates(bill_file("s.csv", b"2"), more, 3)[:3] == (1, 2, 0)
        other = [rate("2026-11-02", "9"), rate("2026-11-04", "1.13")]
        with pytest.raises(
            BillError, match=r"EUR to USD of 2026-11-02 is here already as 1\.11 \(a bank\), not 9"
        ):
            store.add_rates(bill_file("t.csv", b"3"), other, 4)
        assert store.quarantined_rates() == [(rows[1], other[0])]
        assert store.rates().on(dt.date(2026, 11, 4), "EUR", "USD") == more[1]


def test_books_in_euros_take_dollars_by_what_a_euro_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """11 dollars at 1 EUR = 1.10 USD are 10 euros, in the statement, and explained by that quotation."""
    monkeypatch.chdir(tmp_path)
    Path("inferworks.toml").write_text('[books]\ncurrency = "EUR"\n')
    Path("rates.csv").write_text("date,from,to,rate,source\n2026-10-30,EUR,USD,1.10,ECB\n")
    head, *_, dollars = BILL.replace("7.00,7.00", "11.00,11.00").splitlines()
    Path("bill.csv").write_text(f"{head}\n{dollars}\n")

    run("books", "import", "bill.csv", "rates.csv")
    drawn = document("books", "statement", "--period", "2026-11")
    assert drawn["billed"] == "10.00"
    told = " ".join(run("books", "explain", "pool:other", "--period", "2026-11").stdout.split())
    assert "(10.00 in this span; billed in USD, converted at 1/1.10 of 2026-10-30, ECB)" in told
