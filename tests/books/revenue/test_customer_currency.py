"""Customers who pay in a currency of their own: worked out in it, booked by the rate of each day."""

from __future__ import annotations

import csv
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.command_line import document, refusal, run
from tests.support.terms import some_terms

from inferworks.accounts.customer import CustomerFact, currency_at
from inferworks.accounts.directory import Directory, Zoned
from inferworks.accounts.plan import Graduated, PerUnit, Price, PricePlan, Terms, Tier
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.calendar.calendars import Calendars
from inferworks.books.calendar.months import DAY_NS, date_of, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.currency import NoRateError, RateRow, Rates, converted_pico
from inferworks.books.revenue.customer_currency import DayRate, day_rates, owed_notes, until
from inferworks.books.revenue.rating import Item, Rated, RatingContext, rate, rate_again, to_date_of
from inferworks.books.statement.computation import Inputs, compute, shipped_rules
from inferworks.books.statement.corrections import reversed_row
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Dimension, build_statement
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.money import PICO
from inferworks.testing.books import a_usage
from inferworks.units import Unit

ACME, BURNS = CustomerId("acme"), CustomerId("burns")
GAAP = load_policy("gaap")
NOVEMBER = month_of(20_410 * DAY_NS)
MOMENTS = st.integers(NOVEMBER.start_ns, NOVEMBER.end_ns - 1)
TIERS = Graduated((Tier(100, 10 * PICO), Tier(None, 4 * PICO)))
EURO = Terms("EUR", (Price(Unit.OUTPUT_TOKENS, TIERS),))


def a_rate(day: int, rate: str, currency: str = "EUR") -> RateRow:
    """Rate of a unit in dollars on a day of November."""
    date = date_of(NOVEMBER.start_ns + (day - 1) * DAY_NS)
    return RateRow(date.isoformat(), currency, "USD", rate, "a bank")


def rates_of(*rows: RateRow, span: Span = NOVEMBER) -> tuple[DayRate, ...]:
    """The rates of the days of a span."""
    return day_rates(Rates(rows), {row.from_currency for row in rows}, "USD", span)


EVERY_WEEK = tuple(a_rate(day, f"1.{day:02}") for day in range(1, 31, 7))


def a_call(name: str, day: int, tokens: int, customer: CustomerId = ACME) -> Usage:
    """A call at noon of a day of November."""
    at_ns = NOVEMBER.start_ns + (day - 1) * DAY_NS + DAY_NS // 2
    return a_usage(name, customer=customer, opened_ns=at_ns, tokens=Tokens(output=tokens))


def test_tiers_are_in_euros_and_each_day_has_its_rate() -> None:
    """90 and 30 units are 900 and 100 + 80 euros, shared by use: 810 and 270. At 1.10 and 1.20 dollars."""
    rates = rates_of(a_rate(10, "1.10"), a_rate(18, "1.20"))
    calls = [a_call("1", 10, 90), a_call("2", 20, 30)]
    rows = rate(
        calls, [PricePlan(ACME, 0, EURO)], NOVEMBER, "USD", RatingContext((), rates=rates)
    ).rated
    assert [row.owed_pico for row in rows] == [810 * PICO, 270 * PICO]
    assert [row.amount_pico for row in rows] == [891 * PICO, 324 * PICO]
    assert [(row.owed.rate, row.owed.rate_day) for row in rows if row.owed] == [
        ("1.10", "2025-11-10"),
        ("1.20", "2025-11-18"),
    ]
    [note] = owed_notes(rows, "USD")
    assert note == "acme owes 1080.00 EUR, booked as 1215.00 USD by the rates of its days."
    assert reversed_row(rows[0]).owed_pico == -810 * PICO


def test_a_quotation_the_other_way_converts_as_for_a_bill() -> None:
    """A rate of 0.90 euros a dollar makes 810 euros 900 dollars; the rate told is the fraction."""
    quoted = Rates([RateRow("2025-11-10", "USD", "EUR", "0.90", "ECB")])
    rates = day_rates(quoted, {"EUR"}, "USD", NOVEMBER)
    calls, plans = [a_call("1", 10, 81)], [PricePlan(ACME, 0, EURO)]
    [row] = rate(calls, plans, NOVEMBER, "USD", RatingContext((), rates=rates)).rated
    assert (row.owed_pico, row.amount_pico) == (810 * PICO, 900 * PICO)
    assert row.owed is not None
    assert row.owed.rate == "1/0.90"


@pytest.mark.parametrize("kept", [(), (a_rate(2, "1.1"),), (a_rate(11, "1.1"),)])
def test_without_a_rate_of_seven_days_nothing_is_drawn_up(kept: tuple[RateRow, ...]) -> None:
    """One line says for whom, from which currency and for which day."""
    plans, calls = [PricePlan(ACME, 0, EURO)], [a_call("1", 10, 1)]
    with pytest.raises(NoRateError) as caught:
        rate(calls, plans, NOVEMBER, "USD", RatingContext((), rates=rates_of(*kept)))
    assert "customer acme pays in EUR, the books are kept in USD" in str(caught.value)
    assert "no rate from EUR for 2025-11-10; import one" in str(caught.value)


def test_a_tier_in_euros_does_not_go_on_in_dollars() -> None:
    """The same numbers in another currency are another price."""
    plans = [PricePlan(ACME, 0, EURO)]
    plans.append(PricePlan(ACME, NOVEMBER.start_ns + 14 * DAY_NS, replace(EURO, currency="USD")))
    calls = [a_call("1", 10, 90), a_call("2", 20, 30)]
    revenue = rate(
        calls, plans, NOVEMBER, "USD", RatingContext((), rates=rates_of(a_rate(10, "1.10")))
    )
    assert [row.amount_pico for row in revenue.rated] == [990 * PICO, 300 * PICO]


def by_month(rows: list[Rated], calendars: Calendars) -> dict[tuple[int, str], int]:
    """Amounts owed in euros by the customer's month and item."""
    sums: dict[tuple[int, str], int] = defaultdict(int)
    for row in rows:
        sums[calendars.of(ACME).month(row.day_ns).start_ns, row.item] += row.owed_pico
    return {what: pico for what, pico in sums.items() if pico}


@pytest.mark.slow
@given(
    terms=some_terms(),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
    cuts=st.lists(MOMENTS, max_size=3, unique=True),
    quotes=st.lists(st.integers(1, 5 * PICO), min_size=5, max_size=5),
    calls=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), MOMENTS), max_size=6),
)
def test_euros_are_conserved_and_converted_once(terms, zone, cuts, quotes, calls) -> None:
    """Parts of a month owe what the month does, in euros; each amount is its euros at one rate, rounded."""
    rows = tuple(
        a_rate(day, f"{quote // PICO}.{quote % PICO:012}")
        for day, quote in zip(range(1, 31, 7), quotes, strict=True)
    )
    rates, by_day = rates_of(*rows), Rates(rows)
    plans = [PricePlan(ACME, NOVEMBER.start_ns, replace(terms, currency="EUR"))]
    calendars = Calendars([Zoned(ACME, 0, zone)])
    usages = [
        a_usage(str(n), opened_ns=at_ns, tokens=Tokens(i, o, i // 2, o // 3))
        for n, (i, o, at_ns) in enumerate(calls)
    ]
    whole = rate(usages, plans, NOVEMBER, "USD", RatingContext((), calendars, rates))
    edges = sorted({*cuts, *NOVEMBER})
    found: list[Rated] = []
    for span in map(Span._make, pairwise(edges)):
        to_date = to_date_of(found, plans, span.start_ns, calendars)
        part = rate(usages, plans, span, "USD", RatingContext(to_date, calendars, rates))
        again = rate_again(part, plans, span, "USD", RatingContext(to_date, calendars, rates))
        assert again.rated == part.rated
        found += part.rated
    assert by_month(found, calendars) == by_month(list(whole.rated), calendars)
    for row in found:
        quoted = by_day.on(date_of(row.day_ns), "EUR", "USD")
        assert quoted
        assert row.amount_pico == converted_pico(row.owed_pico, quoted)


@pytest.mark.slow
def test_relations_convert_alike() -> None:
    """DuckDB's revenue, entries, rows and notes are the definition's, with a plan in dollars beside."""
    from inferworks.books.engines.compute import compute_on
    from inferworks.books.engines.customer_statement import close_by_customer
    from inferworks.books.engines.duckdb import DuckEngine
    from inferworks.books.engines.lake import lake_of

    plain = Terms("EUR", (Price(Unit.OUTPUT_TOKENS, PerUnit(7)),))
    plans = [PricePlan(ACME, 0, EURO), PricePlan(BURNS, 0, plain)]
    plans.append(PricePlan(CustomerId("dune"), 0, replace(plain, currency="USD")))
    names = (ACME, BURNS, CustomerId("dune"), CustomerId("emu"))
    calls = tuple(
        a_call(f"{name}-{day}", day, 9 * day, name) for name in names for day in range(1, 31, 3)
    )
    rules = replace(shipped_rules(), customers=Directory(zones=(Zoned(BURNS, 0, "Asia/Kolkata"),)))
    last = (plans, GAAP, "USD", NOVEMBER, rules, Prepaid(to_date=(), rates=rates_of(*EVERY_WEEK)))
    facts = Facts(calls, (), (), ())
    one = compute(Inputs((), facts, *last))
    validate(one)
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, facts)
        other = compute_on(engine, lake, Inputs((), NO_FACTS, *last))
        cut = close_by_customer(engine, lake, Inputs((), NO_FACTS, *last))
    assert (one.revenue, one.entries) == (other.revenue, other.entries)
    drawn = build_statement(one)
    assert (cut.rows, cut.notes) == (drawn.by(Dimension.CUSTOMER), drawn.notes)
    assert sum("EUR, booked as" in note for note in drawn.notes) == 2


def test_a_forecast_goes_on_with_the_last_rate() -> None:
    """Days to come have the rate of the last day that has one."""
    rest = Span(NOVEMBER.start_ns + 20 * DAY_NS, NOVEMBER.end_ns)
    past = Span(NOVEMBER.start_ns, rest.start_ns)
    known = until(rates_of(*EVERY_WEEK[:3], span=past), rest)
    assert {one.day: one.row.rate for one in known if one.day > "2025-11-20"} == {
        f"2025-11-{day}": "1.15" for day in range(21, 31)
    }


def test_a_currency_holds_from_its_day_on() -> None:
    """Of what is said of a customer the last by then counts; else the currency of the books."""
    facts = [
        CustomerFact(customer=ACME, effective_ns=n, recorded_ns=0, by="ann", currency=currency)
        for n, currency in ((5, "EUR"), (9, "CHF"))
    ]
    assert [currency_at(facts, ACME, n, "USD") for n in (4, 5, 9)] == ["USD", "EUR", "CHF"]
    assert currency_at(facts, BURNS, 9, "USD") == "USD"


# --- on the command line --------------------------------------------------------------------------------


HEADER = "source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens\n"
ROW = "log,{0},openai,gpt-5,{1},serve-paid,{2}Z,{2}Z,0,{3}\n"
PLAN = (
    'currency = "{}"\neffective = 2025-10-01\nminimum = "{}"\n[[price]]\nunit = "output_tokens"\n'
)
RATES = "date,from,to,rate,source\n"


def revenue(period: str, *options: str) -> dict[str, str]:
    """Revenue of each customer in a period, from JSON."""
    told = document("books", "statement", "--period", period, *options)
    return {
        row["customer"]: row["revenue"] for row in told["customers"] if row["revenue"] != "0.00"
    }


@pytest.mark.slow
def test_a_customer_pays_in_euros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two euros a million, at least 31 a month; October is closed in halves, and a call comes late.

    Until the 16th 5 million are 10 euros, and 15 are due by time: 16.50 dollars at 1.10. From then on 20
    million are 40; of 50 euros 35 are left: 42 dollars at 1.20. A million more of the 3rd are 2 euros: 12
    are less than the 15 that were due, so the first half stays; the second comes to 52 less 15, 44.40.
    """
    monkeypatch.chdir(tmp_path)
    Path("plan.toml").write_text(PLAN.format("EUR", "31.00") + 'per_million = "2"\n')
    assert "acme pays in USD" in refusal("customers", "create", "acme", "--plan", "plan.toml")
    run("customers", "create", "acme", "--plan", "plan.toml", "--currency", "EUR")
    run("customers", "create", "burns", "--input-price", "1", "--output-price", "1")
    assert "burns pays in USD" in refusal("customers", "price", "burns", "--plan", "plan.toml")
    uses = [("1", "2025-10-03T12:00:00", 5_000_000), ("2", "2025-10-20T12:00:00", 20_000_000)]
    rows = "".join(ROW.format(name, "acme", at, tokens) for name, at, tokens in uses)
    Path("calls.csv").write_text(HEADER + rows)
    run("usage", "import", "calls.csv")
    statement = ("books", "statement", "--period")
    assert "no rate from EUR for 2025-10-03; import one" in refusal(*statement, "2025-10")
    quotes = "".join(
        f"2025-10-{day:02},EUR,USD,{rate},ECB\n" for day, rate in ((2, "1.10"), (20, "1.20"))
    )
    Path("rates.csv").write_text(RATES + quotes)
    run("books", "import", "rates.csv")

    halves = ["2025-10-01..2025-10-16", "2025-10-16..2025-11-01"]
    expected = [{"acme": "16.50"}, {"acme": "42.00"}]
    assert [revenue(half) for half in halves] == expected
    assert [revenue(half, "--engine", "duckdb") for half in halves] == expected
    run("books", "close", "2025-09", "--accept", "no business")
    run("books", "close", halves[0])
    Path("late.csv").write_text(HEADER + ROW.format("3", "acme", "2025-10-03T13:00:00", 1_000_000))
    run("usage", "import", "late.csv")
    assert revenue(halves[1]) == {"acme": "44.40"}
    run("books", "close", halves[1])
    assert "Sound" in run("books", "verify").output
    said = run(*statement, halves[1], "--by", "customer").output
    assert "acme owes 37.00 EUR, booked as 44.40 USD" in said
    [line, *_] = document(*statement, halves[1])["revenue_lines"]
    assert (line["owed"]["currency"], line["owed"]["rate"]) == ("EUR", "1.20")
    run("books", "export", "focus", "--period", halves[1], "--seller", "Us", "--out", "focus")
    with Path("focus/customers.csv").open(newline="") as file:
        sold = [row for row in csv.DictReader(file) if row["PricingCurrency"] == "EUR"]
    assert sum(Decimal(row["BilledCost"]) for row in sold) == Decimal("44.40")
    used = [row for row in sold if row["PricingCurrencyListUnitPrice"]]
    assert {row["PricingCurrencyListUnitPrice"] for row in used} == {"2.00"}
    assert sum(Decimal(row["PricingCurrencyEffectiveCost"]) for row in sold) == 37

    merge = ("customers", "merge", "burns", "--into", "acme", "--reason", "bought", "--from")
    assert "burns pays in USD, acme in EUR" in refusal(*merge, "2025-12-01")
    assert "acme pays in EUR: credit is kept in USD" in refusal(
        "customers", "credit", "acme", "--amount", "5"
    )
    change = ("customers", "set", "burns", "--reason", "as they sign", "--currency")
    assert "three capital letters" in refusal(*change, "euro")
    assert "goes on until one in EUR begins" in run(*change, "EUR").output
    assert document("customers", "show", "burns")["currency"] == "EUR"
    assert "prices in: EUR" in run("customers", "show", "burns").output
    run("customers", "create", "dune")
    run("customers", "credit", "dune", "--amount", "5")
    assert "dune has bought credit" in refusal(*change[:2], "dune", *change[3:], "EUR")


def test_items_are_what_they_were() -> None:
    """A row without another currency is written as it was before there were any."""
    [row] = rate(
        [], [PricePlan(ACME, 0, Terms("USD", minimum_pico=5))], NOVEMBER, "USD", RatingContext(())
    ).rated
    assert row.item is Item.MINIMUM
    assert b"owed" not in msgspec.json.encode(row)
