"""`inferworks books reconcile`: compare bills with the suppliers' invoices; list missing bills."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from inferworks.books.accruals.expected_bills import Compared
from inferworks.books.deliveries.canonical import decimal_text
from inferworks.books.deliveries.saying import plain
from inferworks.books.repository.reconcile import Check
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.cli.books.format_options import format_options
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import FilePath, config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.money import format_pico


@click.command()
@click.argument("invoices", required=False, type=FilePath())
@click.option("--period", metavar="MONTH", help="Month whose bills are expected (2026-11).")
@format_options
@config_option
@data_option
@json_option
def reconcile(
    invoices: Path | None,
    period: str | None,
    options: ImportOptions,
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
    found = workspace_of(config_path, data_path).reconcile(invoices, period, options)
    if as_json:
        accruals = [_accrual_json(one) for one in found.accruals]
        print_json({"checks": list(map(_as_json, found.checks)), "accruals": accruals})
    else:
        columns = ("ISSUER", "INVOICE OR MONTH", "BILLED", "INVOICED", "DIFFERENCE", "FINDING")
        print_table(columns, map(_row, found.checks), right="BILLED INVOICED DIFFERENCE")
        if found.accruals:
            say()
            heads = ("ACCRUED FOR", "MONTH", "ACCRUED", "BILLED", "TRUE-UP")
            print_table(heads, map(_accrual_row, found.accruals), right="ACCRUED BILLED TRUE-UP")
    if not found.agrees:
        raise SystemExit(1)


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
