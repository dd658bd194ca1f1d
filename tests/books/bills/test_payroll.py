"""Payroll: gross pay and what the employer adds, each payment once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.own_bills import PAYROLL, file, problems, read

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.payroll import PayrollReader, paid_again, paid_twice
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import STAFF_TIME, Charge, NaturalClass
from inferworks.books.deliveries.canonical import Delivery, delivery_of, line_of
from inferworks.money import PICO, format_pico


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
