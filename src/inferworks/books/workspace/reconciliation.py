"""Reconciliation of the imported bills with the suppliers' invoices, and of accruals with the bills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inferworks.books.accounting.basis import Basis
from inferworks.books.accruals.expected_bills import Compared, compared
from inferworks.books.bills.base import Problem, no_progress, read_rows, refuse
from inferworks.books.bills.detect import open_ours
from inferworks.books.bills.spelling import GivenSpelling
from inferworks.books.calendar.months import month_name, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.deliveries.canonical import FOCUS
from inferworks.books.period import Period, Periods
from inferworks.books.repository.reconcile import (
    Check,
    Finding,
    Invoice,
    billed_by,
    checklist,
    is_payable,
    missing,
)
from inferworks.books.repository.stored_lines import StoredLines
from inferworks.books.workspace.gathering import open_store
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.settings import Settings
from inferworks.errors import BillError, UserError

_ALWAYS = Span(-(2**63), 2**63 - 1)


class Reconciliation(NamedTuple):
    """Bills beside invoices, and accruals beside bills."""

    checks: tuple[Check, ...]
    accruals: tuple[Compared, ...]
    """The accruals of the month; none without a month, and on the cash basis."""

    @property
    def agrees(self) -> bool:
        """True if every bill agrees with its invoice and none is missing."""
        return all(one.finding is Finding.AGREES for one in self.checks)


def reconcile(
    settings: Settings, invoices: Path | None, period: str | None, spelling: GivenSpelling
) -> Reconciliation:
    """Compare the bills with a file of invoices, and list the missing bills of a month, or either.

    UserError when neither is given; BillError with every bad cell of the file.
    """
    if invoices is None and period is None:
        raise UserError("name a file of invoices, a month with --period, or both")
    with open_store(settings.folder, read_only=True) as store:
        imports = store.imports()
    bills = {one.file_sha256 for one in imports if one.delivery.kind == FOCUS}
    lines = StoredLines(settings.folder.books, _ALWAYS, validated=False)
    charges = (one for one in lines if one.file_sha256 in bills or is_payable(one))
    expected: list[tuple[str, str]] = []
    month: Period | None = None
    if period is not None:
        start_ns, end_ns = month_of(Periods().named(period).start_ns)
        month = Period(start_ns, end_ns, month_name(Span(start_ns, end_ns)))
        before = month_name(month_of(start_ns - 1))
        gone = {
            one.supplier.casefold() for one in settings.suppliers if not one.bills_for(month.name)
        }
        suppliers = {*(one.supplier for one in settings.suppliers), *billed_by(imports, before)}
        billing = (one for one in suppliers if one.casefold() not in gone)
        expected = list(missing(imports, billing, month.name))
    accruals: tuple[Compared, ...] = ()
    if month is not None:
        inputs = RecordedSource(settings).inputs(month.span)
        if inputs.policy.basis is Basis.ACCRUAL:  # on the cash basis there are none
            accruals = compared(inputs.charges, month)
    read = [] if invoices is None else list(_read(invoices, spelling))
    checks = checklist(charges, read, expected, None if month is None else month.name)
    return Reconciliation(tuple(checks), accruals)


def _read(path: Path, spelling: GivenSpelling) -> Iterator[Invoice]:
    """The invoices in the file at `path`; BillError with every bad cell."""
    bill = open_ours(path, ("issuer", "currency", "total"), spelling)
    problems: list[Problem] = []
    found: list[Invoice] = []
    for cells in read_rows(bill, problems, no_progress):
        number, month = cells.optional("invoice"), cells.first("month", "billing_month")
        if not number and not month:
            cells.note("invoice", "give the number of the invoice, or the month that it is for")
        cells.money("total")
        texts = (cells.text("issuer"), number or "", "" if number else (month or "")[:7])
        found.append(Invoice(*texts, cells.text("currency"), cells.text("total")))
    refuse(problems)
    if not found:
        raise BillError(f"{path.name}: has no invoices")
    yield from found
