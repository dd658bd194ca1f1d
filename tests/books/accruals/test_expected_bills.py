"""Accruals: bills that are expected and have not come, and what becomes of them when they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.command_line import document, invoke, run

from inferworks.books.accruals.expected_bills import (
    Billed,
    Expected,
    Ground,
    accruals,
    can_accrue,
    compared,
    condensed,
)
from inferworks.books.accruals.reversals import is_reversal, with_reversals
from inferworks.books.allocation.pools import DriverKind, default_pools, pool_of
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, ChargeId
from inferworks.books.period import Period, Periods
from inferworks.catalog.billing import shipped_billing
from inferworks.clock import SimClock
from inferworks.testing.books import a_charge

SEPTEMBER, OCTOBER, NOVEMBER = map(Periods().named, ("2026-09", "2026-10", "2026-11"))
JANUARY_NS = 1_798_761_600 * 10**9  # 2027-01-01
AS_BILLED = {"issuer": "A Cloud", "charge_category": "Usage", "description": "a machine"}
HEADER = (
    "BilledCost,BillingCurrency,BillingAccountId,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,"
    "ChargeCategory,InvoiceIssuerName,ServiceCategory,ServiceName,ResourceId\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and a day on which December is over."""
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(JANUARY_NS))
    monkeypatch.chdir(tmp_path)


def a_line(amount: str, span: Span = OCTOBER.span, **changes: Any) -> Charge:
    """A line of A Cloud."""
    line = a_charge(f"l{amount}", amount, span, category="Compute", resource="vm")
    return replace(line, **{**AS_BILLED, **changes})


def ground(*estimated: Charge) -> Ground:
    """Facts beside bills that accruals are computed from."""

    def is_api_bill(charge: Charge) -> bool:
        return pool_of(charge, default_pools(), ()).driver is DriverKind.PROVIDER_TOKENS

    return Ground(estimated, is_api_bill, shipped_billing(), ("VAT",), "USD")


def in_days(lines: Sequence[Charge]) -> Iterator[Charge]:
    """`lines`, those that are for a month each in two parts of it."""
    for line in lines:
        half_ns = (line.period_start_ns + line.period_end_ns) // 2
        if Span(line.period_start_ns, line.period_end_ns) not in (SEPTEMBER.span, OCTOBER.span):
            yield line
            continue
        part = line.amount_pico // 3
        yield replace(line, period_end_ns=half_ns, amount_pico=part)
        yield replace(
            line,
            id=ChargeId(f"{line.id}/2"),
            period_start_ns=half_ns,
            amount_pico=line.amount_pico - part,
        )


def accrued(
    method: str, lines: Sequence[Charge], months: Sequence[Period] = (OCTOBER,), **changes: Any
) -> list[tuple[str | None, str]]:
    """Amounts accrued for November, by resource."""
    expected = Expected("a cloud", method)
    of_charges, of_sums = (
        list(
            accruals(
                expected, NOVEMBER, NOVEMBER.span, Billed("A Cloud", months, one), ground(**changes)
            )
        )
        for one in (lines, condensed(in_days(lines)))
    )
    assert of_charges == of_sums
    return sorted((one.resource_id, str(one.amount_pico / 10**12)) for one in of_charges)


def test_as_in_the_last_bill_what_recurs() -> None:
    """Machine by machine; credits, corrections, what is bought once and tax that comes back do not."""
    once = (("ChargeFrequency", "One-Time"),)
    lines = [
        a_line("10"),
        a_line("5", resource_id="db"),
        a_line("-3", charge_category="Credit"),
        a_line("-2", charge_class="Correction"),
        a_line("500", other=once),
        a_line("1.9", charge_category="Tax", description="VAT 19 %"),
        a_line("99", SEPTEMBER.span),
    ]
    assert accrued("last", lines) == [("db", "5.0"), ("vm", "10.0")]
    assert accrued("average", lines, (SEPTEMBER, OCTOBER)) == [("db", "2.5"), ("vm", "54.5")]
    assert accrued("never", lines) == []


def test_what_is_here_already_is_taken_off() -> None:
    """A year of support costs in November by its own line; the second half of a bill is still to come."""
    year = Span(SEPTEMBER.start_ns, SEPTEMBER.start_ns + 365 * DAY_NS)
    assert accrued("last", [a_line("365", year)]) == []
    middle = OCTOBER.start_ns + 15 * DAY_NS
    across = Span(middle, NOVEMBER.start_ns + 15 * DAY_NS)
    [(_, left)] = accrued(
        "last", [a_line("31", across), a_line("30", Span(OCTOBER.start_ns, middle))]
    )
    assert float(left) == 31 * 16 / 31 + 30 - 15


def test_a_stated_amount_is_divided_as_the_last_bill_was() -> None:
    """Parts are whole picounits; without a bill the amount is one line, of the department stated."""
    lines = [a_line("2"), a_line("1", resource_id="db")]
    assert accrued("90", lines) == [("db", "30.0"), ("vm", "60.0")]
    expected = Expected("A Cloud", "90", department="office")
    [one] = accruals(expected, NOVEMBER, NOVEMBER.span, Billed("A Cloud", (), ()), ground())
    assert (one.amount_pico, one.department, one.issuer) == (90 * 10**12, "office", "A Cloud")
    assert "accrued, no bill yet: 90 USD a month, as stated" in one.description


def test_calls_are_never_estimated_twice() -> None:
    """Estimates of calls replace the lines for calls, and as much of a stated amount."""
    estimate = replace(
        a_line("7", Span(NOVEMBER.start_ns, NOVEMBER.start_ns + DAY_NS)),
        file="(list prices)", issuer="openai", provider="openai",
    )  # fmt: skip
    calls = a_line("40", service_category="AI and Machine Learning", service_name="API")
    seats = a_line("25", resource_id="seats", service_category="Developer Tools")
    lines = [replace(one, issuer="OpenAI, LLC", provider="OpenAI") for one in (calls, seats)]

    def of(method: str, *estimates: Charge) -> int:
        billed = Billed("OpenAI, LLC", (OCTOBER,), lines)
        found = accruals(
            Expected("OpenAI, LLC", method), NOVEMBER, NOVEMBER.span, billed, ground(*estimates)
        )
        return sum(one.amount_pico for one in found) // 10**12

    assert (of("last"), of("last", estimate)) == (65, 25)
    assert (of("100"), of("100", estimate), of("5", estimate)) == (100, 93, 0)


def test_only_what_is_known_can_be_accrued() -> None:
    """A bill before, or an amount; and not before the first month that is expected."""
    none, some = Billed("A Cloud", (), ()), Billed("A Cloud", (OCTOBER,), ())
    assert not can_accrue(Expected("A Cloud"), NOVEMBER, none)
    assert can_accrue(Expected("A Cloud"), NOVEMBER, some)
    assert can_accrue(Expected("A Cloud", "5"), NOVEMBER, none)
    assert not can_accrue(Expected("A Cloud", "5", "2026-12"), NOVEMBER, none)
    assert not can_accrue(Expected("A Cloud"), SEPTEMBER, some)


def test_a_bill_that_goes_again_leaves_the_accrual_again() -> None:
    """Sealed lines stay; additions, with names of their own, make the sum right each time."""
    [first] = accruals(
        Expected("A Cloud", "5"), NOVEMBER, NOVEMBER.span, Billed("A Cloud", (), ()), ground()
    )
    sealed = [first]
    for turn in range(1, 6):
        is_billed = bool(turn % 2)
        found = list(with_reversals([*sealed, *sealed], lambda _, billed=is_billed: billed))
        assert sum(one.amount_pico for one in found) == (0 if is_billed else first.amount_pico)
        assert len({one.id for one in found}) == len(found) == turn + 1
        assert list(with_reversals(found, lambda _, billed=is_billed: billed)) == found
        assert is_reversal(found[-1]) is is_billed
        sealed = found
    assert compared(sealed, NOVEMBER)[0].accrued_pico == first.amount_pico


def a_bill(name: str, month: str, *amounts: str, issuer: str = "A Cloud") -> str:
    """A bill for a month; its name."""
    ends = {"2026-10": "2026-11", "2026-11": "2026-12", "2026-12": "2027-01"}
    rows = (
        f"{amount},USD,acct-1,{month}-01,{month}-01,{ends[month]}-01,Usage,{issuer},Other,s,r-{at}\n"
        for at, amount in enumerate(amounts)
    )
    Path(name).write_text(HEADER + "".join(rows))
    return name


@pytest.mark.slow
def test_a_month_closes_on_an_accrual_and_the_bill_trues_it_up() -> None:
    """Conserved at every step: closed, billed late, closed again, taken back, billed again."""
    Path("inferworks.toml").write_text('[books]\nsuppliers = ["A Cloud"]\n')
    document("books", "import", a_bill("october.csv", "2026-10", "10.00", "5.00"))
    document("books", "close", "2026-10", "--begin")
    closed = document("books", "close", "2026-11")
    [stands] = closed["accrued"]
    assert (stands["amount"], stands["how"]) == ("15.00", "as in the bill for 2026-10")
    november = document("books", "statement", "--period", "2026-11")
    assert (november["billed"], november["invoiced"], november["accrued"]) == (
        "15.00",
        "0.00",
        "15.00",
    )
    assert "accrued, for no bill has come yet" in "".join(november["notes"])
    assert "no bill yet" in invoke("books", "reconcile", "--period", "2026-11").output

    document("books", "import", a_bill("november.csv", "2026-11", "10.00", "6.50"))
    december = document("books", "statement", "--period", "2026-12")
    assert (december["billed"], december["invoiced"]) == ("18.00", "16.50")  # December is accrued
    assert (december["corrections"][0]["billed"], december["accrued"]) == ("1.50", "1.50")
    [true_up] = december["corrections"][0]["true_ups"]
    assert (true_up["accrued"], true_up["billed"]) == ("15.00", "16.50")
    [check] = document("books", "reconcile", "--period", "2026-11")["accruals"]
    assert (check["accrued"], check["billed"], check["true_up"]) == ("15.00", "16.50", "1.50")
    assert "1.50 more" in run("books", "close", "2026-12").output
    document("books", "verify")

    imports = document("books", "imports", "list")["imports"]
    number = next(one["number"] for one in imports if one["file"] == "november.csv")
    document("books", "imports", "void", str(number), "--reason", "not ours")
    january = document("books", "statement", "--period", "2027-01")
    assert january["corrections"][0]["billed"] == "-1.50"
    document("books", "verify")
    document("books", "import", a_bill("december.csv", "2026-12", "3.00"))
    totals = [
        document("books", "statement", "--period", f"20{m}")["billed"]
        for m in ("26-10", "26-11", "26-12")
    ]
    assert totals == ["15.00", "15.00", "18.00"]


@pytest.mark.slow
def test_what_calls_are_estimated_at_is_the_accrual_of_who_never_billed() -> None:
    """A close does not stop for it; a bill takes its place, and one of nothing takes it back."""
    Path("inferworks.toml").write_text('[books]\nsuppliers = ["OpenAI"]\n')
    head = "id,provider,model,customer,purpose,start,end,input_tokens,output_tokens,told_cost\n"
    moment = "2026-10-05T10:00:0{}Z,"
    row = "1,openai,gpt-5,acme,serve-paid," + moment.format(0) + moment.format(1) + "8,1,7.00\n"
    Path("calls.csv").write_text(head + row)
    run("usage", "import", "calls.csv")
    document("books", "close", "2026-10", "--begin")
    assert document("books", "statement", "--period", "2026-10")["billed"] == "7.00"
    assert document("books", "statement", "--period", "2026-11")["billed"] == "0.00"

    result = invoke("books", "close", "2026-11")
    assert "bill of OpenAI for 2026-11: expected" in str(result.exception)
    assert "until" in str(result.exception)
    Path("inferworks.toml").write_text(
        '[books]\nsuppliers = [{ name = "OpenAI", until = "2026-10" }]\n'
    )
    document("books", "close", "2026-11", "--accept", "no call was made")

    none = a_bill("none.csv", "2026-10", "0.00", issuer="OpenAI")
    calls = Path(none).read_text().replace(",Other,s,", ",AI and Machine Learning,API,")
    Path(none).write_text(calls)
    document("books", "import", none)
    late = document("books", "statement", "--period", "2026-12")
    assert (late["billed"], late["corrections"][0]["billed"]) == ("-7.00", "-7.00")
    assert document("books", "reconcile", "--period", "2026-11")["checks"] == []
    document("books", "verify")


def test_a_bill_is_expected_from_its_first_month_until_its_last() -> None:
    """Before and after there is none, and nothing is accrued or asked for."""
    expected = Expected("A Cloud", "5", "2026-10", until="2026-11")
    months = {
        f"2026-{month:02}": expected.bills_for(f"2026-{month:02}") for month in (9, 10, 11, 12)
    }
    assert list(months.values()) == [False, True, True, False]
    later = expected._replace(until="2026-10")
    none = Billed("A Cloud", (), ())
    assert not list(accruals(later, NOVEMBER, NOVEMBER.span, none, ground()))
    assert list(accruals(expected, NOVEMBER, NOVEMBER.span, none, ground()))


@pytest.mark.slow
def test_what_cannot_be_accrued_is_asked_for() -> None:
    """A supplier who never billed stops a close; one with a stated amount does not."""
    Path("inferworks.toml").write_text(
        '[books]\nsuppliers = ["B Cloud", { name = "A Cloud", accrue = "40.00" }]\n'
    )
    document("books", "import", a_bill("october.csv", "2026-10", "10.00"))
    result = invoke("books", "close", "2026-10", "--begin")
    assert "bill of B Cloud for 2026-10" in str(result.exception)
    assert "A Cloud" not in str(result.exception)
    done = document("books", "close", "2026-10", "--begin", "--accept", "B Cloud is new")
    assert done["accrued"] == []
    assert document("books", "statement", "--period", "2026-11")["accrued"] == "40.00"
    span = ("--from", "2026-11-01", "--to", "2026-12-01")
    assert document("books", "statement", *span, "--engine", "duckdb")["accrued"] == "40.00"
