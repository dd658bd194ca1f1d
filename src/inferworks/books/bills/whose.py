"""Bearer of a line's cost: its department and its activity, the same in every kind of our own files."""

from __future__ import annotations

from typing import NamedTuple

from inferworks.books.allocation.departments import Departments
from inferworks.books.bills.base import Cells
from inferworks.books.charge import STAFF_ON_ACTIVITY
from inferworks.purpose import Purpose

DEPARTMENT = "department"
"""The column that names a department."""


class Work(NamedTuple):
    """Object of somebody's work; `department` bears what no driver can place."""

    resource_type: str | None
    resource_id: str | None
    department: str | None


def department_in(cells: Cells, departments: Departments, column: str = DEPARTMENT) -> str | None:
    """The department that the line names in `column`, if it does."""
    name = cells.optional(column)
    return None if name is None else known_department(cells, column, name, departments)


def known_department(cells: Cells, column: str, name: str, departments: Departments) -> str | None:
    """`name` as it is written; None, and noted, when there is no such department."""
    if departments.find(name) is None:
        cells.note(column, departments.unknown(name))
        return None
    return name


def work_on(
    cells: Cells, column: str, name: str, departments: Departments, department: str | None
) -> Work:
    """Work of `department` on the activity `name`, a purpose or a department; noted when it is neither.

    A department as an activity counts for more than the line's own.
    """
    if name in set(Purpose):
        return Work(STAFF_ON_ACTIVITY, name, department)
    if departments.find(name) is None:
        cells.note(column, departments.unknown_activity(name))
    return Work(None, None, name)
