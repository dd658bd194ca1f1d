"""`inferworks books reconcile`: compare bills with the suppliers' invoices; list missing bills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

_AMOUNTS = ("billed", "invoiced", "difference")


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
    checks = list(map(_check_json, found.checks))
    accruals = list(map(_accrual_json, found.accruals))
    if as_json:
        print_json({"checks": checks, "accruals": accruals})
    else:
        columns = ("ISSUER", "INVOICE OR MONTH", "BILLED", "INVOICED", "DIFFERENCE", "FINDING")
        rows = [
            (
                *(one["issuer"], one["invoice_or_month"]),
                *(f"{one[name]} {one['currency']}" if one[name] else "" for name in _AMOUNTS),
                one["finding"],
            )
            for one in checks
        ]
        if rows:
            print_table(columns, rows, right="BILLED INVOICED DIFFERENCE")
        else:
            say("There is nothing to compare: no bill is here, and none is expected.")
        if accruals:
            say()
            heads = ("ACCRUED FOR", "MONTH", "ACCRUED", "BILLED", "TRUE-UP")
            rows = [
                (
                    *(one["supplier"], one["month"], one["accrued"]),
                    *(one["billed"] or "no bill yet", one["true_up"] or ""),
                )
                for one in accruals
            ]
            print_table(heads, rows, right="ACCRUED BILLED TRUE-UP")
    if not found.agrees:
        raise SystemExit(1)


def _accrual_json(one: Compared) -> dict[str, Any]:
    billed_pico, true_up_pico = one.billed_pico, None
    if billed_pico is not None:
        true_up_pico = billed_pico - one.accrued_pico
    return {
        "supplier": one.supplier,
        "month": one.month,
        "accrued": format_pico(one.accrued_pico),
        "how": one.how,
        "billed": None if billed_pico is None else format_pico(billed_pico),
        "true_up": None if true_up_pico is None else format_pico(true_up_pico),
    }


def _check_json(one: Check) -> dict[str, Any]:
    amounts = zip(_AMOUNTS, (one.billed, one.invoiced, one.difference), strict=True)
    return {
        "issuer": one.issuer,
        "invoice_or_month": one.what,
        "currency": one.currency,
        **{name: None if a is None else plain(decimal_text(str(a))) for name, a in amounts},
        "finding": one.finding,
    }
