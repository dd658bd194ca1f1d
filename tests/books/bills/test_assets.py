"""Assets over their lives: changes of estimate, disposals, other currencies, and which row is which."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.command_line import run

from inferworks.books.accounting.entries import balances
from inferworks.books.accounting.policy import load_policy
from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.depreciation import DepreciationReader, KnownAssets
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, Function
from inferworks.books.currency import RateRow, Rates, as_billed
from inferworks.books.deliveries.canonical import numbered
from inferworks.books.statement.computation import Inputs, accrue, shipped_rules
from inferworks.books.statement.statement import close_span
from inferworks.errors import BillError
from inferworks.meter.facts import NO_FACTS
from inferworks.money import PICO, format_pico

HEADER = (
    "asset,number,resource,cost,salvage,life_months,method,in_service,currency,department,disposed,"
    "proceeds,changed"
)
NEW = {
    "asset": "Server", "number": "", "resource": "gpu-1", "cost": "36000.00", "salvage": "0",
    "life_months": "36", "method": "straight-line", "in_service": "2026-11-01", "currency": "USD",
    "department": "", "disposed": "", "proceeds": "", "changed": "",
}  # fmt: skip
RATES = Rates(
    [
        RateRow("2026-10-30", "EUR", "USD", "1.1", "a bank"),
        RateRow("2027-02-01", "EUR", "USD", "1.2", "a bank"),
    ]
)


def register(*rows: dict[str, str]) -> str:
    """A file of assets, each row as changed."""
    lines = (",".join({**NEW, **row}[name] for name in HEADER.split(",")) for row in rows)
    return "\n".join([HEADER, *lines, ""])


class Books:
    """Books that registers are read beside, one after the other; lines land as the store lands them."""

    def __init__(self) -> None:
        self.charges: dict[str, Charge] = {}
        self.open_ns: int | None = None
        self.notes: list[str] = []

    def take(self, *rows: dict[str, str]) -> int:
        """Read a register; how many lines are new."""
        known = KnownAssets(tuple(self.charges.values()), self.open_ns, self.notes.append)
        bill = bill_file("assets.csv", register(*rows).encode())
        found = DepreciationReader().read_beside(known, bill, "USD", no_progress, RATES)
        assert len({charge.id for charge in found}) == len(found)
        fresh = [charge for charge in found if charge.id not in self.charges]
        self.charges |= {charge.id: charge for charge in fresh}
        return len(fresh)

    def refused(self, *rows: dict[str, str]) -> str:
        """Take a register, or say why not."""
        try:
            self.take(*rows)
        except BillError as error:
            return str(error)
        return ""

    def refusal(self, *rows: dict[str, str]) -> str:
        """Reason why a register is refused."""
        why = self.refused(*rows)
        assert why, "it was taken"
        return why

    def close(self, day: str) -> None:
        """Let the books be closed up to `day`."""
        self.open_ns = at(day)

    def month(self, day: str, until: str) -> str:
        """Amount written off from `day` until another."""
        span = Span(at(day), at(until))
        return format_pico(sum(accrue(charge, span).amount_pico for charge in self.meeting(span)))

    def meeting(self, span: Span) -> list[Charge]:
        """The lines that meet `span`."""
        return [
            charge
            for charge in self.charges.values()
            if span.meet(charge.period_start_ns, charge.period_end_ns).length_ns
        ]

    def total(self) -> str:
        """Sum of all lines."""
        return format_pico(sum(charge.amount_pico for charge in self.charges.values()))


def at(day: str) -> int:
    """The moment at which a day begins."""
    return parse_moment_ns(day)


NOVEMBER, DECEMBER = ("2026-11-01", "2026-12-01"), ("2026-12-01", "2027-01-01")
JANUARY, FEBRUARY = ("2027-01-01", "2027-02-01"), ("2027-02-01", "2027-03-01")


def test_a_register_that_says_the_same_again_changes_nothing() -> None:
    """Rows that are there already add nothing, in any order; the second of two alike is its own asset."""
    books = Books()
    assert books.take({}, {"asset": "Switch"}) == 72
    assert books.take({"asset": "Switch"}, {}) == 0
    assert books.take({}, {}, {"asset": "Switch"}) == 36
    assert books.take({"asset": "Switch"}, {}, {}) == books.take({}) == 0
    assert books.total() == "108000.00"
    assert not books.notes


def test_another_life_is_spread_over_what_is_left_of_it() -> None:
    """Two months are closed: 34,000.00 over 22 months; the closed ones stay."""
    books = Books()
    books.take({})
    books.close("2027-01-01")
    assert books.take({"life_months": "24"}) == 34
    assert [books.month(*month) for month in (NOVEMBER, DECEMBER)] == ["1000.00", "1000.00"]
    assert books.month(*JANUARY) == "1545.454545454546"
    assert books.month("2028-10-01", "2028-11-01") == "1545.454545454545"
    assert books.month("2028-11-01", "2029-11-01") == "0.00"
    assert books.total() == "36000.00"
    assert books.notes == [
        "Server depreciates by 1545.454545454546 in the month from 2027-01-01, not 1000.00"
    ]
    assert books.take({"life_months": "24"}) == 0
    books.close("2027-02-01")
    assert books.take({"life_months": "24", "cost": "38100.00"}) == 21
    assert books.month(*FEBRUARY) == "1645.454545454546"
    assert books.total() == "38100.00"


def test_with_nothing_closed_the_whole_schedule_changes() -> None:
    """The whole schedule changes, or its part from the day on which the row says that it changed."""
    books = Books()
    books.take({})
    books.take({"life_months": "24"})
    assert books.month(*NOVEMBER) == "1500.00"
    dated = Books()
    dated.take({})
    dated.take({"life_months": "34", "salvage": "2000", "changed": "2027-01-01"})
    assert [dated.month(*month) for month in (DECEMBER, JANUARY)] == ["1000.00", "1000.00"]
    assert dated.month("2029-09-01", "2029-11-01") == "0.00"
    assert dated.total() == "34000.00"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 14),
            st.integers(2, 30),
            st.integers(100_000, 300_000),
            st.integers(0, 1_000),
            st.sampled_from(["straight-line", "declining"]),
            st.sampled_from(["gpu-1", "gpu-2"]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["2026-11-01", "2026-11-15", "2027-01-31"]),
    st.sampled_from(["USD", "EUR"]),
)
def test_whatever_changes_the_asset_costs_what_it_costs(
    changes: list[tuple[int, int, int, int, str, str]], day: str, currency: str
) -> None:
    """Cost less salvage in all, closed months as they were, and nothing new the second time."""
    currency = currency if day == "2026-11-01" else "USD"
    books = Books()
    for closed, months, cents, salvage, method, place in sorted(changes, key=lambda one: one[0]):
        row = {
            "number": "7", "cost": f"{cents / 100:.2f}", "salvage": f"{salvage / 100:.2f}",
            "life_months": str(months), "method": method, "in_service": day, "resource": place,
            "currency": currency,
        }  # fmt: skip
        if closed:
            year, month = divmod(10 + closed, 12)
            books.close(f"{2026 + year}-{month + 1:02d}-01")
        before = dict(books.charges)
        edge_ns = books.open_ns or 0
        if why := books.refused(row):
            assert "is written off before" in why or "would be over" in why
            assert books.charges == before
            continue
        lost_pico = (cents - salvage) * PICO // 100
        rate = 11 if currency == "EUR" else 10
        assert (
            sum(charge.amount_pico for charge in books.charges.values()) == lost_pico * rate // 10
        )
        billed = sum(as_billed(charge).amount_pico for charge in books.charges.values())
        assert billed == lost_pico
        for name, charge in books.charges.items():
            assert name in before or not before or charge.period_start_ns >= edge_ns
        assert books.take(row) == 0


def test_a_disposal_ends_it_with_a_loss_or_a_gain() -> None:
    """Half a month is written off by time; what is left less the proceeds is lost on the day."""
    books = Books()
    books.take({})
    books.close("2027-01-01")
    books.take({"disposed": "2027-02-15", "proceeds": "30000.00"})
    assert books.month(*JANUARY) == "1000.00"
    assert books.month("2027-02-01", "2027-02-15") == "500.00"
    assert books.month("2027-02-15", "2027-02-16") == "2500.00"
    assert books.month("2027-02-16", "2030-01-01") == "0.00"
    assert books.total() == "6000.00"
    assert books.notes == ["Server is disposed of on 2027-02-15, at a loss of 2500.00"]
    (lost,) = [c for c in books.charges.values() if "loss" in c.description]
    assert lost.description == "Server, loss on disposal"
    assert books.take({"disposed": "2027-02-15", "proceeds": "30000.00"}) == 0
    assert books.take({"disposed": "2027-02-15", "proceeds": "34000.00"}) == 1
    assert books.total() == "2000.00"
    assert "it was disposed of in the books" in books.refusal({})


def test_a_disposal_may_come_after_its_month_was_closed_and_with_the_asset_itself() -> None:
    """Excess write-offs of closed months come late; a register of the past has the disposal at once."""
    books = Books()
    books.take({})
    books.close("2027-02-01")
    books.take({"disposed": "2027-01-01"})
    assert books.month(*JANUARY) == "34000.00"
    once = Books()
    once.take({"disposed": "2027-01-16", "proceeds": "35000"})
    assert once.month(*JANUARY) == "-1000.00"
    assert once.total() == "1000.00"


def test_a_number_knows_an_asset_wherever_it_goes() -> None:
    """A move acts from the open month on; a number that comes later is the same asset."""
    books = Books()
    books.take({"asset": "Old name"}, {})
    books.close("2026-12-01")
    assert books.take({"number": "4711"}) == 0
    assert books.take({"number": "4711", "life_months": "35"}) > 0
    books.take({"number": "4711", "life_months": "35", "resource": "gpu-2", "asset": "Renamed"})
    places = {}
    for charge in books.meeting(Span(at("2026-12-01"), at("2027-01-01"))):
        key = charge.resource_id or ""
        places[key] = places.get(key, 0) + charge.amount_pico
    assert places.pop("gpu-1") == 1000 * PICO, "the other asset stays"
    assert format_pico(places.pop("gpu-2")) == "1029.411764705883"
    assert "stands in the file already" in books.refusal({"number": "1"}, {"number": "1"})
    two = Books()
    assert two.take({"number": "1"}, {"number": "2"}) == 72


def test_an_asset_in_another_currency_is_carried_at_the_rate_of_its_purchase() -> None:
    """Later months' rates, which nobody knows, do not count; proceeds are worth the rate of their day."""
    books = Books()
    books.take({"currency": "EUR"})
    assert books.month(*NOVEMBER) == books.month("2029-10-01", "2029-11-01") == "1100.00"
    books.close("2027-01-01")
    books.take({"currency": "EUR", "life_months": "36", "salvage": "3400"})
    assert books.month(*JANUARY) == "990.00"
    books.take(
        {"currency": "EUR", "salvage": "3400", "disposed": "2027-02-01", "proceeds": "30000"}
    )
    assert books.total() == format_pico((39_600 - 36_000) * PICO)
    assert "no rate from EUR for 2027-03-01" in books.refusal(
        {"currency": "EUR", "disposed": "2027-03-01", "proceeds": "1"}
    )
    assert "was bought in EUR by the books, not in USD" in books.refusal({})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"life_months": "2"}, "its life would be over before 2027-01-01"),
        ({"cost": "1500"}, "2000.00 is written off before 2027-01-01, which is more than"),
        (
            {"number": "1", "in_service": "2026-10-01"},
            "is in service since 2026-11-01 in the books",
        ),
        ({"disposed": "2026-11-01"}, "column disposed: '2026-11-01': must be after in_service"),
        ({"proceeds": "5"}, "give the day it was disposed of, too"),
        ({"disposed": "2027-01-02", "proceeds": "-5"}, "must not be negative"),
        ({"resource": ""}, "name the node or what else the asset is, or its department"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(row: dict[str, str], reason: str) -> None:
    """The refusal has the figures, and nothing of the file is taken."""
    books = Books()
    books.take({"number": row.get("number", "")})
    books.close("2027-01-01")
    before = dict(books.charges)
    assert reason in books.refusal(row)
    assert books.charges == before


def test_what_was_imported_before_there_were_terms_is_known_by_its_schedule() -> None:
    """Lines of an earlier version say nothing of cost and life."""
    books = Books()
    books.take({})
    before = map(_bare, books.charges.values())
    books.charges = {charge.id: charge for charge in before}
    assert books.take({}) == 0
    assert books.take({"life_months": "24"}) == 36
    assert books.total() == "36000.00"


def _bare(charge: Charge) -> Charge:
    [bare] = numbered("depreciation", [replace(charge, other=(), invoice="Server")])
    return bare


def test_a_loss_reaches_the_statement_and_the_journal() -> None:
    """The loss is the department's; the credit takes the asset off the books."""
    books = Books()
    books.take(
        {"department": "office", "resource": "", "disposed": "2026-12-01", "proceeds": "100"}
    )
    start_ns, end_ns = at("2026-12-01"), at("2027-01-01")
    statement = close_span(
        Inputs(
            tuple(books.charges.values()),
            NO_FACTS,
            (),
            load_policy("gaap"),
            "USD",
            Span(start_ns, end_ns),
            shipped_rules(),
        )
    )
    lost_pico = 34_900 * PICO
    assert statement.function_pico(Function.GENERAL_AND_ADMINISTRATIVE) == lost_pico
    assert balances(statement.entries)["Assets:AccumulatedDepreciation:Server"] == -lost_pico


def test_a_life_changes_between_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed months verify, the open one has the new amount, and the import says so."""
    monkeypatch.chdir(tmp_path)
    for number, months in enumerate(("36", "24", "24")):
        Path(f"{number}.csv").write_text(
            register({"life_months": months, "in_service": "2025-11-01"}) + "\n" * number
        )
    run("books", "import", "0.csv")
    run("books", "close", "2025-11", "--begin")
    told = run("books", "import", "1.csv").output
    assert "1.csv: Server depreciates by 1521.739130434783 in the month from 2025-12-01" in told
    assert "are for 2025-11" not in told
    assert "depreciation    0" in run("books", "import", "2.csv").output
    shown = run("books", "statement", "--period", "2025-12", "--json").output.replace(" ", "")
    assert '"billed":"1521.739130434783"' in shown
    run("books", "close", "2025-12")
    run("books", "verify")


def test_months_of_a_life_adjoin() -> None:
    """Months of a life adjoin, whatever the day on which the life begins."""
    books = Books()
    books.take({"in_service": "2027-01-31", "life_months": "14"})
    spans = sorted((c.period_start_ns, c.period_end_ns) for c in books.charges.values())
    assert all(one[1] == other[0] for one, other in itertools.pairwise(spans))
