"""Customers by their own clocks: months that adjoin, hours that are billed once, figures by hand."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.command_line import document, refusal, run
from tests.support.terms import some_terms

from inferworks.accounts.credit import Credit
from inferworks.accounts.directory import Directory, Merge, Zoned
from inferworks.accounts.plan import Graduated, PerUnit, Price, PricePlan, Terms, Tier
from inferworks.accounts.zone import zone_name
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid, wallets
from inferworks.books.calendar.calendars import Calendar, Calendars, calendars_of
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.rating import (
    Rated,
    RatingContext,
    Revenue,
    rate,
    rate_again,
    to_date_of,
)
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Dimension, build_statement
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import a_usage
from inferworks.units import Unit

ACME, BURNS = CustomerId("acme"), CustomerId("burns")
GAAP = load_policy("gaap")
HOUR_NS = DAY_NS // 24
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)


def at(text: str) -> int:
    """The moment `text`, which has an offset; UTC where it has none."""
    moment = dt.datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 10**9


def between(start: str, end: str) -> Span:
    """From one moment to another."""
    return Span(at(start), at(end))


AUTUMN = between("2026-09-15", "2026-12-15")
"""In which clocks of the north are put back, and those of the south forward."""
MOMENTS = st.integers(AUTUMN.start_ns, AUTUMN.end_ns - 1)
OCTOBER, NOVEMBER, DECEMBER = (
    between("2026-10-01", "2026-11-01"),
    between("2026-11-01", "2026-12-01"),
    between("2026-12-01", "2027-01-01"),
)


@pytest.mark.parametrize(
    ("zone", "inside", "month", "hours"),
    [
        ("Europe/Berlin", "2026-10-15", ("2026-09-30T22:00", "2026-10-31T23:00"), 745),
        ("Europe/Berlin", "2027-03-15", ("2027-02-28T23:00", "2027-03-31T22:00"), 743),
        ("America/New_York", "2026-11-15", ("2026-11-01T04:00", "2026-12-01T05:00"), 721),
        ("Asia/Kolkata", "2026-11-15", ("2026-10-31T18:30", "2026-11-30T18:30"), 720),
        ("Australia/Lord_Howe", "2026-10-15", ("2026-09-30T13:30", "2026-10-31T13:00"), 743.5),
        ("Pacific/Apia", "2011-12-15", ("2011-12-01T10:00", "2011-12-31T10:00"), 720),
    ],
)
def test_months_by_hand(zone: str, inside: str, month: tuple[str, str], hours: float) -> None:
    """Clocks that are put back and forward, by half an hour too, and a day that was left out."""
    found = Calendar([(0, zone)]).month(at(inside))
    assert found == between(*month)
    assert found.length_ns == hours * HOUR_NS


def test_a_day_that_is_left_out_has_no_length() -> None:
    """In Samoa the 29th of December 2011 was followed by the 31st."""
    apia = Calendar([(0, "Pacific/Apia")])
    assert apia.day(at("2011-12-30T09:59")) == between("2011-12-29T10:00", "2011-12-30T10:00")
    assert apia.day(at("2011-12-30T10:00")) == between("2011-12-30T10:00", "2011-12-31T10:00")


def test_a_midnight_that_is_left_out() -> None:
    """In Beirut, 2022, the clock went from the end of the 26th of March to one in the morning."""
    beirut = Calendar([(0, "Asia/Beirut")])
    assert beirut.day(at("2022-03-27T12:00")) == between("2022-03-26T22:00", "2022-03-27T21:00")


def test_a_midnight_that_comes_twice() -> None:
    """In Havana, 2026, the first hour of the first of November is shown twice; both are November's."""
    havana = Calendar([(0, "America/Havana")])
    assert havana.month(at("2026-11-01T04:30")) == between("2026-11-01T04:00", "2026-12-01T05:00")
    assert havana.month(at("2026-11-01T03:59")).end_ns == at("2026-11-01T04:00")


@pytest.mark.parametrize(
    ("change", "zone", "november"),
    [
        ("2026-11-16", "Europe/Berlin", ("2026-11-01", "2026-11-30T23:00")),
        ("2026-11-16", "America/New_York", ("2026-11-01", "2026-12-01T05:00")),
        ("2026-11-30T20:00", "Asia/Kolkata", ("2026-11-01", "2026-11-30T20:00")),
        ("2026-12-01T01:00", "America/New_York", ("2026-11-01", "2026-12-01")),
    ],
)
def test_a_month_begins_by_the_old_clock_and_ends_by_the_new(
    change: str, zone: str, november: tuple[str, str]
) -> None:
    """Amid a month; when it is the next month there already; when the clock goes back into the last."""
    calendar = Calendar([(at(change), zone)])
    found = calendar.month(at("2026-11-15"))
    assert found == between(*november)
    assert calendar.month(found.end_ns).start_ns == found.end_ns
    assert calendar.month(at("2027-01-15")) == Calendar([(0, zone)]).month(at("2027-01-15"))


_histories = st.lists(
    st.tuples(MOMENTS, st.sampled_from(ZONES)),
    max_size=3,
    unique_by=lambda one: one[0],
).map(sorted)


@given(st.sampled_from(ZONES), _histories, st.lists(MOMENTS, max_size=5))
def test_months_and_days_follow_each_other(
    first: str, changes: list[tuple[int, str]], moments: list[int]
) -> None:
    """No hour is in two months or days, or in none, however often a zone changes."""
    calendar = Calendar([(0, first), *changes])
    months = list(calendar.months(AUTUMN))
    assert all(before.end_ns == after.start_ns for before, after in pairwise(months))
    assert [m.length_ns // DAY_NS in range(27, 33) for m in months] == [True] * len(months)
    edges = {month.start_ns for month in months[1:]}
    pieces = list(calendar.pieces(AUTUMN))
    assert all(before.end_ns == after.start_ns for before, after in pairwise(pieces))
    assert edges <= {piece.start_ns for piece in pieces}
    for moment in moments:
        assert calendar.month(moment).holds(moment)
        day, booked_ns = calendar.day(moment), calendar.booked_ns(moment)
        assert day.holds(moment)
        assert booked_ns == max(day.start_ns, moment - moment % DAY_NS)
        assert calendar.month(booked_ns) == calendar.month(moment)
        assert booked_ns in {piece.start_ns for piece in pieces} or booked_ns < AUTUMN.start_ns


@given(st.sampled_from(ZONES), st.integers(at("1971-01-01"), at("2200-01-01")))
def test_a_month_is_what_the_clock_shows(zone: str, moment: int) -> None:
    """The month of a moment is that on the wall, but for an hour that is shown twice."""
    month = Calendar([(-(2**62), zone)]).month(moment)
    shown = [
        dt.datetime.fromtimestamp(ns // 10**9, ZoneInfo(zone)) for ns in (moment, month.start_ns)
    ]
    assert shown[0].strftime("%Y-%m") == shown[1].strftime("%Y-%m")
    assert shown[1].day == 1


def zoned(*zones: tuple[str, int, str]) -> Calendars:
    """The calendars of customers who each have a zone from a moment on."""
    return Calendars(Zoned(CustomerId(name), from_ns, zone) for name, from_ns, zone in zones)


def a_call(name: str, moment: str, tokens: int, customer: CustomerId = ACME) -> Usage:
    """A call that was opened at a moment and delivered so many tokens."""
    return a_usage(name, customer=customer, opened_ns=at(moment), tokens=Tokens(output=tokens))


def in_parts(
    usages: Iterable[Usage], plans: Sequence[PricePlan], edges: Sequence[int], calendars: Calendars
) -> list[Revenue]:
    """The time between `edges` rated part by part, each on top of what came before."""
    calls, parts = list(usages), list[Revenue]()
    for start_ns, end_ns in pairwise(edges):
        rows = [row for part in parts for row in part.rated]
        to_date = to_date_of(rows, plans, start_ns, calendars)
        span = Span(start_ns, end_ns)
        parts.append(rate(calls, plans, span, "USD", RatingContext(to_date, calendars)))
        again = rate_again(parts[-1], plans, span, "USD", RatingContext(to_date, calendars))
        assert again.rated == parts[-1].rated
        assert all(span.start_ns - DAY_NS < row.day_ns < span.end_ns for row in parts[-1].rated)
    return parts


def owed(rows: Iterable[Rated], calendars: Calendars) -> dict[tuple[str, int, str], int]:
    """Amounts that customers owe, by their own months and item."""
    sums: dict[tuple[str, int, str], int] = defaultdict(int)
    for row in rows:
        month = calendars.of(row.customer).month(row.day_ns)
        sums[row.customer, month.start_ns, row.item] += row.amount_pico
    return {what: pico for what, pico in sums.items() if pico}


@pytest.mark.slow
@given(
    terms=st.lists(some_terms(), min_size=1, max_size=3),
    begins=st.lists(MOMENTS, min_size=2, max_size=2, unique=True),
    first=st.sampled_from(ZONES),
    changes=_histories,
    cuts=st.lists(MOMENTS, max_size=4, unique=True),
    calls=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), MOMENTS), max_size=8),
)
def test_the_customers_months_sum_to_the_operators(
    terms, begins, first, changes, cuts, calls
) -> None:
    """Each month by the customer's clock sums to the amount owed, whatever the books are cut into."""
    starts = [0, *sorted(begins)]
    plans = [PricePlan(ACME, at_ns, one) for at_ns, one in zip(starts, terms, strict=False)]
    calendars = zoned(*((ACME, moment, zone) for moment, zone in [(0, first), *changes]))
    usages = [
        a_usage(str(n), opened_ns=at_ns, tokens=Tokens(i, o, i // 2, o // 3))
        for n, (i, o, at_ns) in enumerate(calls)
    ]
    begun_ns = calendars.since_ns(AUTUMN.start_ns)
    edges = sorted({begun_ns, *cuts, OCTOBER.start_ns, *NOVEMBER, AUTUMN.end_ns})
    whole = rate(usages, plans, Span(begun_ns, AUTUMN.end_ns), "USD", RatingContext((), calendars))
    rows = [row for part in in_parts(usages, plans, edges, calendars) for row in part.rated]
    assert owed(rows, calendars) == owed(whole.rated, calendars)


@pytest.mark.slow
@given(
    terms=some_terms(),
    calls=st.lists(
        st.tuples(st.integers(0, 300), st.integers(NOVEMBER.start_ns, NOVEMBER.end_ns - 1)),
        max_size=5,
    ),
)
def test_a_month_elsewhere_is_the_month_at_another_time(terms, calls) -> None:
    """A month of Kolkata owes what the same month five and a half hours later owes in UTC."""
    earlier_ns = 11 * HOUR_NS // 2
    here = [
        a_usage(str(n), opened_ns=at_ns, tokens=Tokens(i, i)) for n, (i, at_ns) in enumerate(calls)
    ]
    there = [replace(usage, opened_ns=usage.opened_ns - earlier_ns) for usage in here]
    month = Span(*(edge - earlier_ns for edge in NOVEMBER))
    plan, kolkata = PricePlan(ACME, 0, terms), zoned((ACME, 0, "Asia/Kolkata"))
    one = rate(here, [plan], NOVEMBER, "USD", RatingContext(()))
    other = rate(there, [plan], month, "USD", RatingContext((), kolkata))
    assert sum(r.amount_pico for r in one.rated) == sum(r.amount_pico for r in other.rated)


TIERED = Terms("USD", (Price(Unit.OUTPUT_TOKENS, Graduated((Tier(100, 10), Tier(None, 4)))),))


def test_an_evening_in_new_york_is_in_its_november() -> None:
    """90 of 100 dear units are used in November; the evening of its 30th is in December's books.

    Of the 30 units of that evening 10 are at 10 and 20 at 4. The next call is December's: 10 at 10.
    """
    plans, new_york = [PricePlan(ACME, 0, TIERED)], zoned((ACME, 0, "America/New_York"))
    calls = [
        a_call("1", "2026-11-10", 90),
        a_call("2", "2026-11-30T23:30:00-05:00", 30),
        a_call("3", "2026-12-01T00:00:00-05:00", 10),
    ]
    edges = (at("2026-11-01T04:00"), DECEMBER.start_ns, DECEMBER.end_ns)
    november, december = in_parts(calls, plans, edges, new_york)
    assert november.amount_pico == 900
    assert [row.amount_pico for row in december.rated] == [10 * 10 + 20 * 4, 100]
    assert [row.day_ns for row in december.rated] == [at("2026-12-01"), at("2026-12-01T05:00")]


def test_a_minimum_is_due_for_the_month_of_the_clock() -> None:
    """Berlin's November, of 720 hours, has 719 in the books' November: 7190 of 7200 are owed there."""
    terms = Terms("USD", (Price(Unit.OUTPUT_TOKENS, PerUnit(1)),), minimum_pico=7200)
    plans, berlin = [PricePlan(ACME, 0, terms)], zoned((ACME, 0, "Europe/Berlin"))
    edges = (at("2026-10-31T23:00"), NOVEMBER.start_ns, NOVEMBER.end_ns)
    first, november = in_parts([a_call("1", "2026-11-10", 40)], plans, edges, berlin)
    an_hour_of_december = 10  # of 744, rounded
    assert (first.amount_pico, november.amount_pico) == (10, 7190 + an_hour_of_december)
    sums = owed([*first.rated, *november.rated], berlin)
    assert sums[ACME, edges[0], "usage"] + sums[ACME, edges[0], "minimum"] == 7200


def test_two_customers_have_their_own_months() -> None:
    """At half past eleven, UTC, on the 30th it is December for Berlin and November for UTC."""
    plans = [PricePlan(ACME, 0, TIERED), PricePlan(BURNS, 0, TIERED)]
    calls = [
        a_call(f"{name}-{n}", moment, 100, name)
        for name in (ACME, BURNS)
        for n, moment in enumerate(["2026-11-10", "2026-11-30T23:30"])
    ]
    revenue = rate(
        calls, plans, NOVEMBER, "USD", RatingContext((), zoned((ACME, 0, "Europe/Berlin")))
    )
    sums: dict[str, int] = defaultdict(int)
    for row in revenue.rated:
        sums[row.customer] += row.amount_pico
    assert sums == {ACME: 1000 + 1000, BURNS: 1000 + 400}


def test_three_clocks() -> None:
    """The example of docs/customers.md, and its ten more units of two in the morning."""
    names = [CustomerId(name) for name in ("utc", "berlin", "new-york")]
    plans = [PricePlan(name, 0, TIERED) for name in names]
    calls = [
        a_call(f"{name}-{n}", moment, tokens, name)
        for name in names
        for n, (moment, tokens) in enumerate(
            [("2026-11-10", 90), ("2026-11-30T23:30", 30), ("2026-12-01T02:00", 10)]
        )
    ]
    zones = zoned((names[1], 0, "Europe/Berlin"), (names[2], 0, "America/New_York"))
    parts = in_parts(calls, plans, (*NOVEMBER, DECEMBER.end_ns), zones)
    booked = [dict.fromkeys(names, 0) for _ in parts]
    for sums, part in zip(booked, parts, strict=True):
        for row in part.rated:
            sums[row.customer] += row.amount_pico
    assert [list(sums.values()) for sums in booked] == [[1080, 1200, 1080], [100, 100, 40]]


def worked(
    directory: Directory,
    calls: Sequence[Usage],
    plans: Sequence[PricePlan],
    span: Span,
    prepaid: Prepaid,
) -> Computation:
    """The validated computation of calls without a bill."""
    shipped = shipped_rules()
    rules = Rules(shipped.pools, shipped.catalog, shipped.journal, customers=directory)
    facts = Facts(tuple(calls), (), (), ())
    computation = compute(Inputs((), facts, plans, GAAP, "USD", span, rules, prepaid))
    validate(computation)
    return computation


BERLIN = Directory(zones=(Zoned(ACME, 0, "Europe/Berlin"),))
PER_UNIT = PricePlan(ACME, 0, Terms("USD", (Price(Unit.OUTPUT_TOKENS, PerUnit(1)),)))


def test_credit_expires_with_the_customers_day() -> None:
    """Credit until the end of Berlin's 14th pays what is used that evening, and nothing half an hour on.

    In UTC both calls are on the evening of the 14th.
    """
    calls = [
        a_call("1", "2026-11-14T23:30:00+01:00", 10),
        a_call("2", "2026-11-15T00:30:00+01:00", 7),
    ]
    bought = (Credit("c", ACME, at("2026-11-02"), 100, "USD", at("2026-11-15T00:00:00+01:00")),)
    computation = worked(BERLIN, calls, [PER_UNIT], NOVEMBER, Prepaid(bought, to_date=()))
    [found] = wallets(computation.revenue, Prepaid(bought, to_date=()), NOVEMBER, BERLIN)
    assert (found.used_pico, found.expired_pico, found.closing_pico) == (10, 90, 0)
    days = {row.name: row.revenue_pico for row in build_statement(computation).by(Dimension.DAY)}
    assert days == {"2026-11-14": 10 + 7 + 90}


def test_a_minimum_is_paid_from_credit_on_the_last_day_of_the_clock() -> None:
    """New York's November ends in the books' December; credit pays its minimum then and not before."""
    terms = Terms("USD", (Price(Unit.OUTPUT_TOKENS, PerUnit(1)),), minimum_pico=7210)
    plan = PricePlan(ACME, at("2026-11-01T04:00"), terms)
    directory = Directory(zones=(Zoned(ACME, 0, "America/New_York"),))
    bought = (Credit("c", ACME, at("2026-11-02"), 10_000, "USD"),)
    first = worked(directory, [], [plan], NOVEMBER, Prepaid(bought, to_date=()))
    assert first.revenue.amount_pico == 7160  # 716 of 721 hours
    [then] = wallets(first.revenue, Prepaid(bought, to_date=()), NOVEMBER, directory)
    assert then.used_pico == 0
    rows, calendars = first.revenue.rated, calendars_of(directory)
    to_date = to_date_of(rows, [plan], DECEMBER.start_ns, calendars)
    prepaid = Prepaid(bought, ((ACME, ()),), to_date)
    rest = Span(DECEMBER.start_ns, at("2026-12-01T05:00"))
    second = worked(directory, [], [plan], rest, prepaid)
    [found] = wallets(second.revenue, prepaid, rest, directory)
    assert (second.revenue.amount_pico, found.used_pico) == (50, 7210)


def test_a_merged_customer_counts_by_the_others_clock() -> None:
    """Burns, in UTC, is acme's from the 16th: half an hour before midnight its use is December's."""
    directory = Directory((Merge(BURNS, at("2026-11-16"), ACME),), zones=BERLIN.zones)
    calls = [a_call("1", "2026-11-20", 100), a_call("2", "2026-11-30T23:30", 100, BURNS)]
    computation = worked(
        directory, calls, [PricePlan(ACME, 0, TIERED)], NOVEMBER, Prepaid(to_date=())
    )
    assert computation.revenue.amount_pico == 1000 + 1000


@pytest.mark.slow
def test_relations_count_by_the_same_clocks() -> None:
    """DuckDB gives the definition's revenue, entries and cuts, with tiers, credit, and a change of zone."""
    from inferworks.books.engines.compute import compute_on
    from inferworks.books.engines.customer_statement import close_by_customer
    from inferworks.books.engines.duckdb import DuckEngine
    from inferworks.books.engines.lake import lake_of

    names = [CustomerId(name) for name in ("acme", "burns", "dune", "emu")]
    directory = Directory(
        (Merge(names[3], at("2026-11-20"), BURNS),),
        zones=(
            Zoned(ACME, 0, "Asia/Kolkata"),
            Zoned(BURNS, 0, "America/New_York"),
            Zoned(ACME, at("2026-11-16T07:00"), "Pacific/Apia"),
            Zoned(BURNS, at("2026-11-30T22:00"), "Asia/Kolkata"),
        ),
    )
    calls = [
        a_usage(
            f"{name}-{n}", customer=name, opened_ns=OCTOBER.start_ns + n * 5 * HOUR_NS + place,
            tokens=Tokens(output=n % 7),
        )
        for place, name in enumerate(names)
        for n in range(400)
    ]  # fmt: skip
    fees = replace(TIERED, minimum_pico=5000, subscription_pico=100)
    terms = (TIERED, fees, TIERED, PER_UNIT.terms)
    plans = [PricePlan(name, 0, one) for name, one in zip(names, terms, strict=True)]
    plans.append(PricePlan(ACME, at("2026-11-03T20:00"), PER_UNIT.terms))
    bought = (Credit("c", BURNS, at("2026-11-02"), 10_000, "USD", at("2026-11-20T05:00")),)
    span, facts = (
        Span(OCTOBER.start_ns, DECEMBER.start_ns + DAY_NS),
        Facts(tuple(calls), (), (), ()),
    )
    for prepaid in (Prepaid(bought, to_date=()), Prepaid(to_date=())):
        one = worked(directory, calls, plans, span, prepaid)
        rules = replace(shipped_rules(), customers=directory)
        last = (plans, GAAP, "USD", span, rules, prepaid)
        with DuckEngine() as engine:
            lake = lake_of(engine, {}, facts)
            other = compute_on(engine, lake, Inputs((), NO_FACTS, *last))
            rows = close_by_customer(engine, lake, Inputs((), NO_FACTS, *last)).rows
        assert (one.revenue, one.entries) == (other.revenue, other.entries)
        assert rows == build_statement(one).by(Dimension.CUSTOMER)
        assert (
            one.revenue != worked(Directory(directory.merges), calls, plans, span, prepaid).revenue
        )


HEADER = "source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens\n"
USED = [
    ("2025-10-10T12:00:00", 8),
    ("2025-10-31T23:30:00", 4),
    ("2025-11-01T03:00:00", 5),
    ("2025-11-20T12:00:00", 10),
]
PLAN = """\
currency = "USD"
effective = 2025-10-01
minimum = "{}"
[[price]]
unit = "output_tokens"
graduated = [{{ up_to = 10_000_000, per_million = "10" }}, {{ per_million = "4" }}]
"""
OFFICES = {
    "berlin": ("Europe/Berlin", "0"),
    "new-york": ("America/New_York", "0"),
    "kolkata": ("Asia/Kolkata", "744.00"),
}


def rows_of(customer: str, used: Iterable[tuple[str, int]]) -> str:
    """Calls of a customer as lines to import: when, and how many million tokens."""
    return "".join(
        f"log,{customer}-{moment},openai,gpt-5,{customer},serve-paid,{moment}Z,{moment}Z,0,{n}000000\n"
        for moment, n in used
    )


def revenue(period: str, *options: str) -> dict[str, str]:
    """Revenue of each customer in a period, from JSON."""
    told = document("books", "statement", "--period", period, *options)
    return {
        row["customer"]: row["revenue"] for row in told["customers"] if row["revenue"] != "0.00"
    }


@pytest.mark.slow
def test_a_company_with_customers_on_three_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two months, closed in three parts, with a call that comes late: each figure worked out by hand.

    Berlin's October has 8 million tokens for 80, its November 19 for 100 + 36; of these 4 million, 40, are
    in the books' October, for they are of its last half hour. New York's October has 17 for 100 + 28: 8 and
    4 in the books' October for 80, then 20 + 8, and 5 in their November for 20; its November has 10.
    Kolkata pays at least 744.00 a month: 5.50 of October are in the books' September, 365.50 on the 16th.
    """
    monkeypatch.chdir(tmp_path)
    for name, (zone, minimum) in OFFICES.items():
        Path("plan.toml").write_text(PLAN.format(minimum))
        run("customers", "create", name, "--plan", "plan.toml", "--zone", zone)
    rows = "".join(rows_of(name, USED) for name in OFFICES)
    Path("calls.csv").write_text(HEADER + rows)
    run("usage", "import", "calls.csv")
    expected = [
        {"kolkata": "5.50"},
        {"berlin": "80.00", "new-york": "80.00", "kolkata": "360.00"},
        {"berlin": "40.00", "new-york": "28.00", "kolkata": "418.50"},
        {"berlin": "96.00", "new-york": "120.00", "kolkata": "709.50"},
    ]
    periods = ["2025-09", "2025-10-01..2025-10-16", "2025-10-16..2025-11-01", "2025-11"]
    assert [revenue(period) for period in periods] == expected
    assert [revenue(period, "--engine", "duckdb") for period in periods] == expected
    for period in periods[:3]:
        run("books", "close", period)
    assert [revenue(period) for period in periods] == expected

    late = rows_of("new-york", [("2025-10-15T12:00:00", 1)])
    Path("late.csv").write_text(HEADER + late)
    run("usage", "import", "late.csv")
    # 9 million until the 16th; of the 4 after that 1 is at 10 and 3 are at 4; the 5 are at 4 as before
    assert revenue("2025-11") == {**expected[3], "new-york": "124.00"}
    run("books", "close", "2025-11")
    assert revenue("2025-11")["new-york"] == "124.00"
    assert "Sound" in run("books", "verify").output

    change = ("customers", "set", "berlin", "--zone", "Asia/Tokyo", "--reason", "moved", "--from")
    assert "closed until 2025-12-01" in refusal(*change, "2025-11-30")
    assert "did you mean Asia/Tokyo?" in refusal(
        *change[:4], "Asia/Tokio", *change[5:], "2025-12-01"
    )
    assert (
        "from 2025-12-01 00:00:00 UTC; the month then ends at 2025-12-31 15:00:00"
        in run(*change, "2025-12-01").output
    )
    assert "Sound" in run("books", "verify").output
    assert document("customers", "show", "berlin")["zone"] == "Asia/Tokyo"
    shown = run("customers", "show", "berlin").output
    assert "time zone: Asia/Tokyo" in shown
    assert "always" in shown
    assert "Asia/Kolkata" in run("customers", "list").output


@pytest.mark.parametrize(
    ("text", "name"),
    [("Europe/Berlin", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("utc", "UTC")],
)
def test_zones_are_spelled_as_they_are_listed(text: str, name: str) -> None:
    """A zone's name is found in any case."""
    assert zone_name(text) == name
