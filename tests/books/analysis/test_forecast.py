"""Forecast of a running month: each part by hand, and that nothing of it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.command_line import document, invoke, run

from inferworks.accounts.plan import Graduated, Price, PricePlan, Terms, Tier
from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.forecast import METHODS, Forecast, forecast
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span
from inferworks.books.charge import ACCRUED, LIST_PRICES, STAFF_TIME, Charge, NaturalClass
from inferworks.books.statement.computation import Inputs, accrued_charges, compute, shipped_rules
from inferworks.books.statement.statement import build_statement
from inferworks.clock import SimClock
from inferworks.errors import BooksError, UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import a_charge, a_usage
from inferworks.units import Unit

USD = 10**12
HOUR_NS = 3_600 * 10**9


def day(number: int) -> int:
    """The first moment of a day of November 2025; the 31st is December's first."""
    return parse_moment_ns("2025-11-01") + (number - 1) * 86_400 * 10**9


RULES = shipped_rules()
POLICY = load_policy("gaap")


def forecast_of(
    charges: Sequence[Charge], plans: Sequence[PricePlan] = (), calls: Iterable[Usage] = ()
) -> dict[str, tuple[float, float, float]]:
    """So far, known and at the rate so far, half way through November, of what is not nothing."""
    found = forecast_drawn(charges, plans, calls)
    assert all(line.total_pico == sum(line[1:]) for line in found.lines)
    return {
        line.name: (line.so_far_pico / USD, line.known_pico / USD, line.rate_pico / USD)
        for line in found.lines
        if any(line[1:])
    }


def forecast_drawn(
    charges: Sequence[Charge], plans: Sequence[PricePlan] = (), calls: Iterable[Usage] = ()
) -> Forecast:
    """The forecast half way through November."""
    passed, rest = Span(day(1), day(16)), Span(day(16), day(31))
    facts = Facts(tuple(calls), (), (), ())
    computation = compute(Inputs(charges, facts, plans, POLICY, "USD", passed, RULES))
    ahead = accrued_charges(charges, rest, "USD", RULES, POLICY.basis).charges
    return forecast(build_statement(computation), computation, ahead, rest.end_ns)


def rent(amount: str, first: int, last: int, **changes: object) -> Charge:
    """A machine that nobody uses, from the start of one day to that of another."""
    return replace(a_charge("rent", amount, (day(first), day(last))), **changes)


def cost(so_far: float, known: float, rate: float) -> dict[str, tuple[float, float, float]]:
    """Cost of revenue, and what follows from it."""
    taken = (-so_far, -known, -rate)
    return {
        "cost_of_revenue": (so_far, known, rate),
        "gross_margin": taken,
        "operating_result": taken,
    }


@pytest.mark.parametrize(
    ("charge", "expected"),
    [
        # Its rest is known, by time; what is recorded for later days too.
        (rent("30", 1, 31), cost(15, 15, 0)),
        (rent("30", 11, 21), cost(15, 15, 0)),
        (rent("30", 20, 21), cost(0, 30, 0)),
        # Over: it goes on as the supplier billed it until his last line ends, of ten days or of fifteen.
        (rent("10", 1, 11), cost(10, 0, 20)),
        (rent("15", 1, 16), cost(15, 0, 15)),
        # Estimated from calls, on two days only: nothing was called since.
        (rent("10", 1, 3, file=LIST_PRICES), cost(10, 0, 10)),
        # What happens once does not.
        (rent("10", 1, 11, charge_category="Purchase"), cost(10, 0, 0)),
        (rent("-10", 1, 11, charge_category="Credit"), cost(-10, 0, 0)),
        (rent("10", 1, 11, other=(("ChargeFrequency", "One-Time"),)), cost(10, 0, 0)),
    ],
)
def test_a_bill_by_hand(charge: Charge, expected: dict[str, tuple[float, float, float]]) -> None:
    """Half way through a month of thirty days."""
    assert forecast_of([charge]) == expected


def test_a_supplier_with_an_accrual_is_not_extended() -> None:
    """An accrual has its supplier's whole month; another supplier's lines go on."""
    mark = {"file": ACCRUED, "id": "chg_2", "other": (("x_AccrualMethod", "as stated"),)}
    waiting = rent("20", 1, 31, **mark)
    assert forecast_of([rent("10", 1, 11), waiting])["cost_of_revenue"] == (20, 10, 0)
    other = rent("20", 1, 31, issuer="B Cloud", **mark)
    assert forecast_of([rent("10", 1, 11), other])["cost_of_revenue"] == (20, 10, 20)


def test_pay_to_come_is_its_departments() -> None:
    """Half of sales' month is known, and the bonus of legal that is recorded for the twentieth."""
    pay = replace(
        a_charge("pay", "30", (day(1), day(31)), resource=None,
                 natural_class=NaturalClass.EMPLOYEE_COMPENSATION),
        service_name=STAFF_TIME, department="sales",
    )  # fmt: skip
    bonus = replace(
        pay, id="chg_2", department="legal", period_start_ns=day(20), period_end_ns=day(21)
    )
    found = forecast_of([pay, bonus])
    assert found["sales_and_marketing"] == (15, 15, 0)
    assert found["general_and_administrative"] == (0, 30, 0)
    assert "cost_of_revenue" not in found


def test_revenue_is_rated_by_the_plan() -> None:
    """Twice the tokens fall into the next tier; a subscription is known; a minimum fills up."""
    acme = CustomerId("acme")
    tiers = (Tier(1_000_000, USD // 10**5), Tier(None, USD // 10**6))
    prices = (Price(Unit.OUTPUT_TOKENS, Graduated(tiers)),)
    calls = [a_usage("call-1", opened_ns=day(3), tokens=Tokens(output=1_000_000))]
    plan = PricePlan(acme, day(1), Terms("USD", prices))
    assert forecast_of([], [plan], calls)["revenue"] == (10, 0, 1)
    fee = PricePlan(acme, day(1), Terms("USD", prices, subscription_pico=30 * USD))
    assert forecast_of([], [fee], calls)["revenue"] == (25, 15, 1)
    dearer = PricePlan(acme, day(16), Terms("USD", (Price(Unit.OUTPUT_TOKENS, tiers_of(5)),)))
    assert forecast_of([], [plan, dearer], calls)["revenue"] == (10, 0, 5)


def tiers_of(price: int) -> Graduated:
    """One tier of `price` a million."""
    return Graduated((Tier(None, price * USD // 10**6),))


def test_a_period_that_is_over_has_no_forecast() -> None:
    """Nor one of which nothing has passed."""
    computation = compute(
        Inputs((), Facts((), (), (), ()), (), POLICY, "USD", Span(day(1), day(31)), RULES)
    )
    with pytest.raises(BooksError, match="needs a period that has begun"):
        forecast(build_statement(computation), computation, (), day(31))


BILLS = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
30.00,USD,2025-11-01,2025-12-01,A Cloud,Compute,node-1
"""


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine for November; the last call was on the fifteenth, today is the sixteenth."""
    monkeypatch.chdir(tmp_path)
    at(monkeypatch, day(16))
    (tmp_path / "bills.csv").write_text(BILLS)
    run("books", "import", "bills.csv")
    with closing(SqliteStore(DataFolder(Path("inferworks-data")).journal)) as store:
        store.open()
        store.write([a_usage("call-1", opened_ns=day(16) - 1)])
    return tmp_path


def test_it_is_provisional_wherever_it_is_printed(company: Path) -> None:
    """Title, table and JSON say that it is provisional, with the methods; and nothing is written."""
    before = {path: path.read_bytes() for path in company.rglob("*.db")}
    told = run("books", "forecast")
    assert told.stdout.startswith("PROVISIONAL: forecast of 2025-11 in USD")
    assert told.stdout.count("PROVISIONAL") == 2
    assert max(map(len, told.stdout.partition("Note")[0].splitlines())) <= 80
    found = document("books", "forecast")
    assert found["provisional"] is True
    assert found["methods"] == list(METHODS)
    assert "\n".join(METHODS) in told.stdout
    cost = next(line for line in found["lines"] if line["line"] == "cost_of_revenue")
    assert (cost["so_far"], cost["known"], cost["forecast"]) == ("15.00", "15.00", "30.00")
    assert {path: path.read_bytes() for path in company.rglob("*.db")} == before


def told(*arguments: str) -> tuple[dict[str, tuple[str, str, str]], str]:
    """Cost and revenue of a forecast: so far, known and at the rate; and its notes."""
    done = run("books", "forecast", "--json", *arguments)
    found = json.loads(done.stdout)
    lines = {
        line["line"]: (line["so_far"], line["known"], line["at_the_rate_so_far"])
        for line in found["lines"]
    }
    return lines, " ".join(found["notes"])


def at(monkeypatch: pytest.MonkeyPatch, now_ns: int) -> None:
    """Let it be that moment."""
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(now_ns))


PLAN = """\
currency = "USD"
effective = 2025-11-01
[[price]]
unit = "output_tokens"
per_million = "10"
"""


def test_time_without_a_call_has_passed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million tokens of 10 USD at four on the first: as many in the half that is to come.

    They are 290 USD more where the first day is all that is recorded, and not 1,790 because of four hours.
    """
    monkeypatch.chdir(tmp_path)
    Path("plan.toml").write_text(PLAN)
    invoke("customers", "create", "acme", "--plan", "plan.toml")
    called_ns = day(1) + 4 * HOUR_NS
    with closing(SqliteStore(DataFolder(Path("inferworks-data")).journal)) as store:
        store.open()
        store.write([a_usage("call-1", opened_ns=called_ns - 1, tokens=Tokens(output=1_000_000))])
    at(monkeypatch, day(16))
    lines, notes = told()
    assert lines["revenue"] == ("10.00", "0.00", "10.00")
    assert "Nothing is recorded as used after 2025-11-01 04:00:00" in notes
    lines, notes = told("--until", "2025-11-02")
    assert lines["revenue"] == ("10.00", "0.00", "290.00")
    assert "Nothing is recorded" not in notes
    assert "Less than a day" not in notes
    at(monkeypatch, called_ns)
    lines, notes = told()
    assert lines["revenue"] == ("10.00", "0.00", "1790.00")
    assert "Less than a day of it has passed: what stands at the rate may be far off." in notes
    for outside in ("2025-10-31", "2025-11-02"):
        done = invoke("books", "forecast", "--until", outside)
        assert str(done.exception) == "--until must lie in 2025-11, and not later than now"


def test_a_supplier_that_has_billed_hours_is_named() -> None:
    """Half a day of its use is no rate of a month, half way through it or not."""
    hours = rent("1", 1, 2, period_end_ns=day(1) + 12 * HOUR_NS)
    [note] = forecast_drawn([hours, rent("15", 1, 16, id="chg_2", issuer="B Cloud")]).notes
    assert note == "a-cloud has billed less than a day of it: its rate may be far off."


def test_what_cannot_be_forecast_is_refused(company: Path) -> None:
    """A period that is over, closed, or has not begun is refused."""
    for period, reason in (("2025-10", "2025-10 is over"), ("2025-12", "2025-12 has not begun")):
        refused = invoke("books", "forecast", "--period", period)
        assert isinstance(refused.exception, UserError)
        assert reason in str(refused.exception)
