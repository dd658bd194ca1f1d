"""`inferworks books reconcile`: bills beside the suppliers' invoices, and those that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.clock import SimClock

JANUARY_NS = 1_798_761_600 * 10**9  # 2027-01-01
HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,"
    "ResourceId\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and a day on which December is over."""
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(JANUARY_NS))
    monkeypatch.chdir(tmp_path)


def a_bill(name: str, *lines: tuple[int, str], month: int = 11) -> str:
    """A bill of A Cloud for days of a month, of November unless it is said; its name."""
    rows = (
        f"{amount},USD,2026-{month}-{day:02},2026-{month}-{day + 1:02},A Cloud,Compute,vm\n"
        for day, amount in lines
    )
    Path(name).write_text(HEADER + "".join(rows))
    return name


def reconciled(*arguments: str) -> tuple[int, list[Any]]:
    """The exit status and the checks of `inferworks books reconcile`."""
    done = invoke("books", "reconcile", *arguments, "--json")
    return done.exit_code, json.loads(done.stdout)["checks"]


def test_bills_are_set_beside_invoices_and_who_is_missing_is_listed() -> None:
    """Theorem 17: a bill agrees to the places of its invoice, or the difference is listed."""
    document("books", "import", a_bill("bill.csv", (9, "1.0049"), (10, "2.00")))
    Path("invoices.csv").write_text(
        "issuer,month,currency,total\nA Cloud,2026-11,USD,3.00\nB Cloud,2026-11,USD,5.00\n"
    )
    code, [agrees, absent] = reconciled("invoices.csv")
    assert (code, agrees["finding"], agrees["difference"]) == (1, "agrees", "0.0049")
    assert (absent["issuer"], absent["finding"]) == ("B Cloud", "no bill")
    Path("invoices.csv").write_text("issuer,month,currency,total\nA Cloud,2026-11,USD,3.01\n")
    assert reconciled("invoices.csv")[1][0]["finding"] == "differs"
    [expected] = reconciled("--period", "2026-12")[1]
    assert (expected["issuer"], expected["finding"]) == ("A Cloud", "expected")
    assert reconciled("--period", "2026-11") == (0, [])
    document("books", "import", a_bill("next.csv", (9, "4.00"), month=12))
    Path("invoices.csv").write_text("issuer,month,currency,total\nA Cloud,2026-12,USD,4.00\n")
    code, found = reconciled("invoices.csv", "--period", "2026-12")
    assert (code, [one["invoice_or_month"] for one in found]) == (0, ["2026-12"])
    assert {one["finding"] for one in reconciled("invoices.csv")[1]} == {"agrees", "no invoice"}


VOUCHED = """\
id,period,natural_class,amount,currency,description,department,supplier,resource,tax,tax_name
V-1,2026-11,other,100.00,USD,Rent,office,Landlord,,19.00,VAT 19 %
V-2,2026-11,other,40.00,USD,Support,office,A Cloud,,,
V-3,2026-11,depreciation,7.00,USD,Desks,office,Joiner,,,
V-4,2026-11,employee-compensation,9.00,USD,Bonus,office,Staff,,,
V-5,2026-11,other,5.00,USD,Petty cash,office,,,,
"""


def test_what_was_entered_as_a_voucher_is_set_beside_its_invoice_too() -> None:
    """With its tax, and what came in a file; what no supplier is owed has no invoice."""
    Path("vouchers.csv").write_text(VOUCHED)
    document("books", "import", "vouchers.csv")
    document("books", "import", a_bill("bill.csv", (9, "2.00")))
    Path("invoices.csv").write_text("issuer,invoice,currency,total\nLandlord,V-1,USD,119.00\n")
    assert [(one["issuer"], one["finding"]) for one in reconciled("invoices.csv")[1]] == [
        ("A Cloud", "no invoice"),
        ("Landlord", "agrees"),
    ]
    months = "Landlord,2026-11,USD,119.00\nA Cloud,2026-11,USD,42.00\n"
    Path("invoices.csv").write_text(f"issuer,month,currency,total\n{months}")
    code, found = reconciled("invoices.csv", "--period", "2026-11")
    assert (code, [one["billed"] for one in found]) == (0, ["42.00", "119.00"])


def test_nothing_to_compare_agrees() -> None:
    """No bill is expected before the first one; a sentence says so, and no table without rows."""
    document("books", "import", a_bill("bill.csv", (9, "1.00")))
    assert reconciled("--period", "2026-10") == (0, [])
    said = run("books", "reconcile", "--period", "2026-10").stdout
    assert said == "There is nothing to compare: no bill is here, and none is expected.\n"
    document("books", "imports", "void", "1", "--reason", "a slip")
    assert run("books", "imports", "list").stdout == "No import is in force.\n"


def test_the_table_has_the_amounts_with_their_currency() -> None:
    """Missing amounts are blank, and the exit status says that something differs."""
    document("books", "import", a_bill("bill.csv", (9, "1.25")))
    Path("invoices.csv").write_text(
        "issuer,month,currency,total\nA Cloud,2026-11,USD,1.30\nB Cloud,2026-11,EUR,5.00\n"
    )
    done = invoke("books", "reconcile", "invoices.csv")
    heading, *rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert heading == "ISSUER INVOICE OR MONTH BILLED INVOICED DIFFERENCE FINDING"
    assert rows == [
        "A Cloud 2026-11 1.25 USD 1.30 USD -0.05 USD differs",
        "B Cloud 2026-11 5.00 EUR no bill",
    ]


def test_accruals_stand_below_beside_their_bill() -> None:
    """40.00 are accrued while there is no bill; the one that came was for 41.50, which is 1.50 more."""
    suppliers = '[books]\nsuppliers = [{ name = "A Cloud", accrue = "40.00" }]\n'
    Path("inferworks.toml").write_text(suppliers)
    document("books", "import", a_bill("october.csv", (9, "1.00"), month=10))
    document("books", "close", "2026-10", "--begin")
    document("books", "close", "2026-11")
    none = invoke("books", "reconcile", "--period", "2026-11").stdout
    assert "ACCRUED FOR" in none
    assert " ".join(none.splitlines()[-1].split()) == "A Cloud 2026-11 40.00 no bill yet"
    document("books", "import", a_bill("november.csv", (9, "41.50")))
    came = run("books", "reconcile", "--period", "2026-11").stdout
    assert " ".join(came.splitlines()[-1].split()) == "A Cloud 2026-11 40.00 41.50 1.50"


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "issuer,month,currency,total\nA,2026-11,USD,x\n"]
)
def test_a_file_that_is_no_list_of_invoices_is_refused(text: str) -> None:
    """By its name, and with nothing printed as compared."""
    document("books", "import", a_bill("bill.csv", (9, "1.00")))
    Path("invoices.csv").write_text(text)
    assert "invoices.csv" in refusal("books", "reconcile", "invoices.csv")
