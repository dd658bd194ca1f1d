"""`inferworks books reconcile`: compare bills with the suppliers' invoices; list missing bills."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click

from inferworks.books.accounting.basis import Basis
from inferworks.books.accruals.expected_bills import Compared, compared
from inferworks.books.bills.base import (
    Problem,
    no_progress,
    read_rows,
    refuse,
)
from inferworks.books.bills.detect import open_ours
from inferworks.books.bills.spelling import Told
from inferworks.books.calendar.months import month_name, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.deliveries.canonical import FOCUS, decimal_text
from inferworks.books.deliveries.saying import plain
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
from inferworks.books.repository.store import BookStore
from inferworks.books.repository.stored_lines import StoredLines
from inferworks.books.workspace.ledgers import no_folder
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.settings import Settings
from inferworks.cli.books.opening import opened
from inferworks.cli.books.told import told_options
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.errors import BillError, UserError
from inferworks.money import format_pico

_ALWAYS = Span(-(2**63), 2**63 - 1)


@click.command()
@click.argument("invoices", required=False, type=click.Path(path_type=Path))
@click.option("--period", metavar="MONTH", help="Month whose bills are expected (2026-11).")
@told_options
@config_option
@data_option
@json_option
def reconcile(
    invoices: Path | None,
    period: str | None,
    told: Told,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Compare the imported bills with the suppliers' INVOICES; list missing ones.

    INVOICES has the columns issuer, currency, total, and invoice (its number) or month (2026-11, all
    invoices of the issuer for it), in any form that bills may have. A bill agrees when its exact total,
    rounded to the places of the invoice, is the invoice's. A voucher with a supplier counts with its tax,
    by its month or its id. Exit status 1 when something differs or is missing.

    Expected for a month are the suppliers in books.suppliers and those that billed the month before. The
    accruals for those in books.suppliers are listed below, beside the bill once it is imported.

    \b
    Examples:
      inferworks books reconcile invoices.csv --period 2026-11
      inferworks books reconcile --period 2026-11 --json

    \b
    A file of invoices:
      issuer,invoice,currency,total
      A Cloud,INV-1,USD,1234.57
    """
    if invoices is None and period is None:
        raise UserError("name a file of invoices, a month with --period, or both")
    settings = opened(config_path, data_path).settings
    folder = settings.folder
    if not folder.books.exists():
        raise no_folder(folder)
    with BookStore(folder.books, read_only=True) as store:
        imports = store.imports()
        bills = {one.file_sha256 for one in imports if one.delivery.kind == FOCUS}
    lines = StoredLines(folder.books, _ALWAYS, validated=False)
    charges = (one for one in lines if one.file_sha256 in bills or is_payable(one))
    expected: list[tuple[str, str]] = []
    name: str | None = None
    accrued: tuple[Compared, ...] = ()
    if period is not None:
        month = month_of(Periods().named(period).start_ns)
        name, before = month_name(month), month_name(month_of(month.start_ns - 1))
        known = settings.suppliers
        gone = {one.supplier.casefold() for one in known if not one.bills_for(name)}
        suppliers = {*(one.supplier for one in known), *billed_by(imports, before)}
        billing = (one for one in suppliers if one.casefold() not in gone)
        expected = list(missing(imports, billing, name))
        accrued = _compared(settings, Period(*month, name))
    invoiced = [] if invoices is None else list(_read(invoices, told))
    found = checklist(charges, invoiced, expected, name)
    if as_json:
        accruals = [_accrual_json(one) for one in accrued]
        print_json({"checks": list(map(_as_json, found)), "accruals": accruals})
    else:
        columns = ("ISSUER", "INVOICE OR MONTH", "BILLED", "INVOICED", "DIFFERENCE", "FINDING")
        print_table(columns, map(_row, found), right="BILLED INVOICED DIFFERENCE")
        if accrued:
            say()
            heads = ("ACCRUED FOR", "MONTH", "ACCRUED", "BILLED", "TRUE-UP")
            print_table(heads, map(_accrual_row, accrued), right="ACCRUED BILLED TRUE-UP")
    if any(one.finding is not Finding.AGREES for one in found):
        raise SystemExit(1)


def _compared(settings: Settings, month: Period) -> tuple[Compared, ...]:
    """Return the accruals for `month` beside the bills; none on the cash basis."""
    papers = RecordedSource(settings).papers(month.span)
    return compared(papers.charges, month) if papers.policy.basis is Basis.ACCRUAL else ()


def _read(path: Path, told: Told) -> Iterator[Invoice]:
    """The invoices in the file at `path`; BillError with every bad cell."""
    bill = open_ours(path, ("issuer", "currency", "total"), told)
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


def _row(one: Check) -> tuple[str, ...]:
    amounts = (one.billed, one.invoiced, one.difference)
    texts = ["" if amount is None else f"{_text(amount)} {one.currency}" for amount in amounts]
    return (one.issuer, one.what, *texts, one.finding)


def _text(amount: Decimal) -> str:
    """An exact amount, written out."""
    return plain(decimal_text(str(amount)))


def _accrual_row(one: Compared) -> tuple[str, ...]:
    left = ("no bill yet", "") if one.billed_pico is None else _billed_texts(one)
    return (one.supplier, one.month, format_pico(one.accrued_pico), *map(str, left))


def _accrual_json(one: Compared) -> dict[str, object]:
    billed, true_up = _billed_texts(one)
    return {
        "supplier": one.supplier,
        "month": one.month,
        "accrued": format_pico(one.accrued_pico),
        "how": one.how,
        "billed": billed,
        "true_up": true_up,
    }


def _billed_texts(one: Compared) -> tuple[str | None, str | None]:
    """Return the billed amount, and its excess over the accrued one."""
    if one.billed_pico is None:
        return None, None
    return format_pico(one.billed_pico), format_pico(one.billed_pico - one.accrued_pico)


def _as_json(one: Check) -> dict[str, object]:
    amounts = {"billed": one.billed, "invoiced": one.invoiced, "difference": one.difference}
    return {
        "issuer": one.issuer,
        "invoice_or_month": one.what,
        "currency": one.currency,
        **{name: None if amount is None else _text(amount) for name, amount in amounts.items()},
        "finding": one.finding,
    }
