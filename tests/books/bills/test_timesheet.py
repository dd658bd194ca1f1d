"""Time sheets: minutes, whose, on what, and their pay."""

from __future__ import annotations

import pytest
from tests.support.csv_bills import SHIFT, billed, csv_file, read

from inferworks.books.charge import NaturalClass
from inferworks.errors import BillError


def test_a_time_sheet_becomes_employee_compensation() -> None:
    """Minutes, machine or activity, and pay."""
    other = {**SHIFT, "node": "", "activity": "support", "pay": "60", "person": "bob"}
    repair, support = read(csv_file([SHIFT, other]))
    assert repair.natural_class is NaturalClass.EMPLOYEE_COMPENSATION
    assert (repair.resource_type, repair.resource_id) == ("Node", "gpu-3")
    assert (repair.quantity, repair.unit) == ("40", "Minutes")
    assert (support.resource_type, support.resource_id) == ("Activity", "support")
    assert billed([repair, support]) == "92.00"


def test_every_bad_cell_of_a_time_sheet_is_reported() -> None:
    """The same for time sheets."""
    bad = [
        {**SHIFT, "minutes": "-5"},
        {**SHIFT, "activity": "support"},
        {**SHIFT, "node": ""},
        {**SHIFT, "pay": "lots"},
        {**SHIFT, "sheet": ""},
    ]
    with pytest.raises(BillError) as refused:
        read(csv_file(bad))
    lines = str(refused.value).splitlines()
    columns = ["minutes", "activity", "node", "pay", "sheet"]
    assert [line.split("column ")[1].split(":")[0] for line in lines] == columns
