"""Payroll, depreciation, vouchers: what no cloud bills, as charges."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.bills.assets import declining, straight_line
from inferworks.books.bills.base import BillFile, BillReader, bill_file, no_progress
from inferworks.books.bills.depreciation import DepreciationReader
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.payroll import PayrollReader, paid_again, paid_twice
from inferworks.books.bills.rates import read_rates
from inferworks.books.bills.sense import Doubts, after_tomorrow_ns
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.bills.voucher import VoucherReader
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.charge import STAFF_TIME, Charge, NaturalClass
from inferworks.books.deliveries.canonical import Delivery, delivery_of, line_of
from inferworks.errors import BillError
from inferworks.money import PICO, format_pico
from inferworks.testing.books import check_bill_reader

PAYROLL = """\
person,start,end,gross,employer_cost,currency,split
ann,2026-11-01,2026-12-01,6000.00,1320.01,USD,node:gpu-3=2 activity:support=1
bob,2026-11-01,2026-12-01,5000.00,1100.00,USD,
"""
ASSETS = """\
asset,resource,cost,salvage,life_months,method,in_service,currency
GPU server 3,gpu-3,100000.00,10000.00,36,straight-line,2026-01-31,USD
Switch 1,switch-1,9000.00,100,24,declining,2026-11-15,USD
"""
VOUCHERS = """\
id,period,natural_class,amount,currency,description,supplier,service_category,service_name,resource,team,department
V-1,2026-11,colocation,4200.00,USD,Cage in hall 2,Hall Two Ltd,Compute,,gpu-3,infra,
V-2,2026-11-21,other,-35.00,USD,Refund of a deposit,,,,,,office
"""
SHEET_HEAD = "person,start,end,minutes,node,activity,pay,currency,sheet\n"
READERS: tuple[BillReader, ...] = (PayrollReader(), DepreciationReader(), VoucherReader())
DAY_NS = 86_400 * 10**9


def file(text: str) -> BillFile:
    """`text` as a file."""
    return bill_file("file.csv", text.encode())


def read(text: str, currency: str = "USD") -> tuple[Charge, ...]:
    """The charges of a file, by whichever reader recognises it."""
    bill = file(text)
    return reader_for(bill, READERS).read(bill, currency, no_progress)


def problems(text: str) -> list[str]:
    """The lines of the refusal of a file."""
    with pytest.raises(BillError) as refused:
        read(text)
    return str(refused.value).splitlines()


@pytest.mark.parametrize("text", [PAYROLL, ASSETS, VOUCHERS], ids=["payroll", "assets", "vouchers"])
def test_every_reader_keeps_the_promises_of_the_seam(text: str) -> None:
    """The conformance suite that a stranger's reader can run too."""
    check_bill_reader(reader_for(file(text), READERS), file(text), "USD")


def test_payroll_is_gross_and_what_the_employer_adds() -> None:
    """Split by whole weights, exactly; without a split it stands in the pool undivided."""
    node, support, whole = read(PAYROLL)
    assert node.amount_pico + support.amount_pico == 732001 * PICO // 100
    assert (node.resource_type, node.resource_id) == ("Node", "gpu-3")
    assert (support.resource_type, support.resource_id) == ("Activity", "support")
    assert format_pico(node.amount_pico) == "4880.006666666667"
    assert (whole.resource_id, format_pico(whole.amount_pico)) == (None, "6100.00")
    assert {c.service_name for c in (node, support, whole)} == {STAFF_TIME}
    assert {c.natural_class for c in (node, whole)} == {NaturalClass.EMPLOYEE_COMPENSATION}


def test_who_is_paid_twice_is_noticed() -> None:
    """A time sheet and a payroll for the same time are noticed; other times, and no pay, are not."""
    sheet = (
        "person,start,end,minutes,node,activity,pay,currency,sheet\n"
        "ann,2026-11-02,2026-11-03,40,gpu-3,,32.00,USD,2026-45\n"
        "bob,2026-12-02,2026-12-03,40,gpu-3,,32.00,USD,2026-49\n"
        "bob,2026-11-02,2026-11-03,40,gpu-3,,0.00,USD,2026-45\n"
    )
    shifts = TimesheetReader().read(file(sheet), "USD", no_progress)
    assert paid_twice((*shifts, *read(PAYROLL))) == ["ann"]
    assert paid_twice(shifts) == []


def paid(*rows: str, head: str = "run") -> list[Charge]:
    """The charges of a payroll of rows of a person, gross pay and a number."""
    return list(read(pay(*rows, head=head)))


def pay(*rows: str, head: str = "run") -> str:
    """A payroll of such rows."""
    header = f"person,gross,{head},start,end,employer_cost,currency,split\n"
    return header + "".join(f"{row},2026-11-01,2026-12-01,1,USD,\n" for row in rows)


def test_several_runs_of_a_month_all_count_and_each_once() -> None:
    """Numbered, or told apart by what they say; a line that stands twice in a file counts once."""
    wages, bonus = paid("bob,6000,"), paid("bob,1000,")
    assert len({charge.id for charge in [*wages, *bonus]}) == 2
    assert [charge.id for charge in paid("bob,1000.00,", "bob,6000,")] == [bonus[0].id, wages[0].id]
    said: list[str] = []
    bill = bill_file("pay.csv", pay("bob,5,", "bob,5,", "bob,5,").encode())
    assert len(PayrollReader().read_once(said.append, bill, "USD", no_progress)) == 1
    assert [text.partition(",")[0] for text in said] == [
        "line 3 pays bob what line 2 does",
        "line 4 pays bob what line 2 does",
    ]
    for head in ("run", "check"):
        first, second = paid("bob,5,1", "bob,5,2", head=head)
        assert first.id != second.id
        (restated,) = paid("bob,6,2", head=head)
        known, again = (delivery_of("payroll", charge) for charge in (second, restated))
        assert known == again, "the same run with another amount is a question"


def test_pay_that_an_older_program_took_in_is_the_same_pay() -> None:
    """Lines that an older program named by their time alone, without their run, are the same pay."""
    for charge in read(PAYROLL):
        kept = replace(charge, line="about:0123456789abcdef")
        assert delivered(kept) == delivered(charge)
    wages, bonus = paid("bob,6000,", "bob,1000,")
    assert delivered(wages)[0] != delivered(bonus)[0]
    first, restated = paid("bob,6000,1"), paid("bob,6001,1")
    assert delivered(first[0])[0] == delivered(restated[0])[0]
    assert delivered(first[0])[1] != delivered(restated[0])[1]


def delivered(charge: Charge) -> tuple[Delivery, str]:
    """The delivery of a line of pay, and its name there."""
    delivery = delivery_of("payroll", charge)
    return delivery, line_of(delivery, charge).name


def test_who_is_paid_by_several_files_is_noticed() -> None:
    """Pay in several files is noticed, unless runs are numbered, or nothing of it is new."""
    wages = paid("bob,6000,", "ann,10,")
    bonus = [replace(charge, file="bonus.csv") for charge in paid("bob,1000,")]
    (note,) = paid_again([*wages, *bonus], {"bonus.csv"})
    told = (
        "bob is paid for one time by several files, 1001.00 by bonus.csv and 6001.00 by file.csv; "
    )
    assert note.startswith(told)
    assert not list(paid_again([*wages, *bonus], {"other.csv"}))
    numbered = [replace(charge, file="bonus.csv") for charge in paid("bob,1000,7")]
    assert not list(paid_again([*wages, *numbered], {"bonus.csv"}))


@pytest.mark.parametrize(
    "split", ["gpu-3", "node:gpu-3", "node:a=1 node:a=2", "node:a=0", "rack:a=1", "node:a=-1"]
)
def test_a_split_that_cannot_be_meant(split: str) -> None:
    """A senseless split is refused with the way to write it."""
    (line,) = problems(PAYROLL.replace("node:gpu-3=2 activity:support=1", split))
    assert "line 2, column split" in line


def test_an_asset_becomes_one_charge_a_month() -> None:
    """From its day to the same day of the next month, or the last; the parts sum to what is lost."""
    charges = read(ASSETS)
    server = [charge for charge in charges if dict(charge.other)["asset"] == "GPU server 3"]
    switch = [charge for charge in charges if dict(charge.other)["asset"] == "Switch 1"]
    assert (len(server), len(switch)) == (36, 24)
    assert sum(charge.amount_pico for charge in server) == 90_000 * PICO
    assert sum(charge.amount_pico for charge in switch) == 8_900 * PICO
    assert {format_pico(charge.amount_pico) for charge in server} == {"2500.00"}
    assert format_pico(switch[0].amount_pico) == "750.00"
    for charges in (server, switch):
        for before, after in itertools.pairwise(charges):
            assert before.period_end_ns == after.period_start_ns
    assert [(c.period_end_ns - c.period_start_ns) // DAY_NS for c in server[:4]] == [28, 31, 30, 31]
    assert {charge.natural_class for charge in charges} == {NaturalClass.DEPRECIATION}


amounts = st.integers(0, 10**20)


@given(amounts, amounts, st.integers(1, 120))
def test_depreciation_sums_to_cost_less_salvage(one: int, other: int, months: int) -> None:
    """Depreciation by either method is exact; never negative, never below the salvage value."""
    salvage, cost = sorted((one, other))
    for parts in (straight_line(cost - salvage, months), declining(cost, salvage, months)):
        assert len(parts) == months
        assert sum(parts) == cost - salvage
        assert min(parts) >= 0
    falling = declining(cost, salvage, months)
    assert all(after <= before + 1 for before, after in itertools.pairwise(falling))


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (("100000.00", "-1"), "salvage"),
        ((",36,", ",0,"), "life_months"),
        ((",36,", ",1e3,"), "life_months"),
        ((",36,", f",{'0' * 5000}36,"), "life_months"),
        (("straight-line", "sum-of-digits"), "method"),
        (("2026-01-31", "2026-01-31T09:00Z"), "in_service"),
        (("2026-01-31", "9999-01-31"), "in_service"),
        (("10000.00", "100000.01"), "salvage"),
    ],
)
def test_a_schedule_that_cannot_be_meant(change: tuple[str, str], column: str) -> None:
    """A senseless schedule is refused with line and column."""
    assert f"line 2, column {column}" in problems(ASSETS.replace(*change))[0]


@pytest.mark.parametrize(
    ("minutes", "is_noted"),
    [("60", False), ("75", False), ("75.1", True), ("600", True), ("0", False)],
)
def test_who_works_longer_than_it_lasts_is_noted(minutes: str, *, is_noted: bool) -> None:
    """More minutes than a shift lasts are noted, but for those that programs round up to."""
    text = f"{SHEET_HEAD}ann,2026-11-21T09:00Z,2026-11-21T10:00Z,{minutes},,support,9,USD,s\n"
    doubts = Doubts(parse_moment_ns("2026-11-30"))
    for charge in TimesheetReader().read(file(text), "USD", no_progress):
        doubts.look_at(charge)
    told = f"1 line has more minutes than there are from start to end, such as {minutes} of ann, support"
    assert [text.startswith(told) for text in doubts.texts()] == [True] * is_noted


def test_work_is_done_before_it_is_written_down() -> None:
    """Work that begins after tomorrow is refused; work that goes on until then is not."""
    day_ns = 86_400 * 10**9
    until_ns = after_tomorrow_ns(parse_moment_ns("2026-11-30T15:00:00Z"))
    assert until_ns == parse_moment_ns("2026-12-02")
    for day, is_refused in ((1, False), (2, True)):
        text = f"{SHEET_HEAD}ann,2026-12-0{day},2026-12-09,60,,support,9,USD,s\n"
        reader = TimesheetReader(until_ns=until_ns)
        refusal = pytest.raises(BillError, match="begins after tomorrow")
        with refusal if is_refused else contextlib.nullcontext():
            reader.read(file(text), "USD", no_progress)
    assert after_tomorrow_ns(until_ns) == until_ns + 2 * day_ns


def test_what_is_doubts_is_noted() -> None:
    """Terms that are paid in advance and corrections are not; nor is what an asset loses."""
    near = read(VOUCHERS)[0]

    def texts(*starts: str) -> list[str]:
        doubts = Doubts(parse_moment_ns("2026-11-30"))
        moments = [parse_moment_ns(start) for start in starts]
        charges = [replace(near, period_start_ns=at, period_end_ns=at + 10**9) for at in moments]
        for charge in charges:
            doubts.look_at(charge)
        return list(doubts.texts())

    assert texts("2017-01-01", "2027-11-01") == []
    assert texts("1900-01-01", "2031-05-01", "2031-06-01") == [
        "1 line is for a time that is more than ten years ago (1900-01); is the year right?",
        "2 lines are for a time that begins more than a year ahead (2031-06); is the year right?",
    ]


def test_a_voucher_is_a_charge_with_hints() -> None:
    """A month or a day, what was bought, and the columns that decide its pool."""
    cage, refund = read(VOUCHERS)
    assert (cage.period_end_ns - cage.period_start_ns, refund.period_end_ns % DAY_NS) == (
        30 * DAY_NS,
        0,
    )
    assert (cage.natural_class, cage.provider) == (NaturalClass.COLOCATION, "Hall Two Ltd")
    assert (cage.service_category, cage.resource_id) == ("Compute", "gpu-3")
    assert dict(cage.other) == {"team": "infra"}
    assert format_pico(refund.amount_pico) == "-35.00"
    assert refund.period_end_ns - refund.period_start_ns == DAY_NS


def test_every_bad_cell_of_a_voucher_is_reported() -> None:
    """Period, class, amount and an id that stands twice."""
    bad = VOUCHERS.replace("2026-11,", "2026-13,").replace("other", "fun").replace("V-2", "V-1")
    lines = problems(bad.replace("-35.00", "much"))
    columns = [line.split("column ")[1].split(":")[0] for line in lines]
    assert columns == ["period", "natural_class", "amount", "id"]


def test_rates_are_rows_of_text() -> None:
    """A day, a pair, a decimal and who said so."""
    text = "date,from,to,rate,source\n2026-11-02,EUR,USD,1.0842,ECB\n"
    (row,) = read_rates(file(text), no_progress)
    assert (row.day, row.rate, row.source) == ("2026-11-02", "1.0842", "ECB")
    for bad in ("0", "-1", "x", "1.0000000000001", ""):
        with pytest.raises(BillError, match="column rate"):
            read_rates(file(text.replace("1.0842", bad)), no_progress)
    for before, after in (
        ("EUR", "euro"),
        ("EUR", "USD"),
        ("2026-11-02", "2026-11-31"),
        ("ECB", ""),
    ):
        with pytest.raises(BillError, match="line 2, column"):
            read_rates(file(text.replace(before, after)), no_progress)


@pytest.mark.parametrize("day", ["1970-01-01", "2026-11-01"])
def test_a_span_without_length_is_refused(day: str) -> None:
    """Nothing can be spread over no time, not even at the beginning of all times."""
    text = PAYROLL.replace("2026-11-01", day).replace("2026-12-01", day)
    assert "line 2, column end" in problems(text)[0]


garbage = st.text(alphabet=st.sampled_from(list('1.-eE,"\n NULLT:Z2026=\x00é')), max_size=20)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([PAYROLL, ASSETS, VOUCHERS]), garbage)
def test_no_file_makes_a_reader_stumble(data: st.DataObject, text: str, tail: str) -> None:
    """Any text in a cell or after the last line makes charges, or a BillError."""
    cells = text.splitlines()[1].split(",")
    place = data.draw(st.integers(0, len(cells) - 1))
    cells[place] = data.draw(garbage)
    with contextlib.suppress(BillError):
        read(text + ",".join(cells) + "\n" + tail)
