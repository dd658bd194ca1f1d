"""Bearer of a line's cost: its department and its activity."""

from __future__ import annotations

from inferworks.books.allocation.departments import SHIPPED
from inferworks.books.bills.whose import Work, department_in, known_department, work_on
from inferworks.books.charge import STAFF_ON_ACTIVITY


class Cells:
    """Cells of a row, with what is noted about them."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.notes: list[str] = []

    def optional(self, column: str) -> str | None:
        """The text of a cell; None where it is empty."""
        return self.texts.get(column) or None

    def note(self, column: str, reason: str) -> None:
        """Note what is wrong with a cell."""
        self.notes.append(f"{column}: {reason}")


def test_a_department_that_is_known() -> None:
    """As it is written; without one there is none, and nothing to note."""
    cells = Cells(department="Sales")
    assert department_in(cells, SHIPPED) == "Sales"
    assert department_in(Cells(), SHIPPED) is None
    assert not cells.notes


def test_a_department_that_is_not_known_is_noted() -> None:
    """Under the column that it stands in."""
    cells = Cells(team="slaes")
    assert department_in(cells, SHIPPED, "team") is None
    assert cells.notes[0].startswith("team: ")
    assert known_department(Cells(), "x", "nowhere", SHIPPED) is None


def test_work_is_on_a_purpose_or_for_a_department() -> None:
    """A department as an activity counts for more than the line's own; what is neither is noted."""
    cells = Cells()
    assert work_on(cells, "activity", "support", SHIPPED, "sales") == Work(
        STAFF_ON_ACTIVITY, "support", "sales"
    )
    assert work_on(cells, "activity", "marketing", SHIPPED, "sales") == Work(
        None, None, "marketing"
    )
    assert not cells.notes
    assert work_on(cells, "activity", "lunch", SHIPPED, "sales") == Work(None, None, "lunch")
    assert cells.notes[0].startswith("activity: ")
