"""Theorem 19: a general ledger draws our income statement from the exported journal, month by month.

A made-up company over five months and a year's end, with a leap day among them: machines billed by the
month, support paid for a year ahead, staff, an asset, estimated calls, prepaid credit that is used and
expires, a bill and a call that come late for closed months. What hledger, which knows nothing of us, draws
as the income statement of each month must be ours, account by account, to the last picounit.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import run

from inferworks.accounts.credit import Credit
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.exports.chart_of_accounts import Account
from inferworks.books.exports.plain_text import account_name
from inferworks.ids import CustomerId
from inferworks.money import parse_pico

from .conftest import Check

MONTHS = ("2023-11", "2023-12", "2024-01", "2024-02", "2024-03")
FOCUS = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceCategory,"
    "ServiceName,InvoiceIssuerName,ChargeDescription,ResourceId\n"
)
BILLS = f"""{FOCUS}\
700.00,USD,2023-11-01,2023-12-01,Usage,Compute,Machines,"Cloud, Inc.",A node,node-1
700.00,USD,2023-12-01,2024-01-01,Usage,Compute,Machines,"Cloud, Inc.",A node,node-1
0.333333333333,USD,2023-12-31T23:30:00Z,2024-01-01T00:30:00Z,Usage,Web,Servers,"Cloud, Inc.",An hour,web-1
366.00,USD,2024-01-01,2025-01-01,Purchase,Other,Support,"Cloud, Inc.",A year of support,
29.00,USD,2024-02-01,2024-03-01,Usage,Web,Servers,"Cloud, Inc.",February,web-1
-7.00,USD,2024-02-29,2024-03-01,Credit,Web,Servers,"Cloud, Inc.",A leap day back,web-1
"""
ASSETS = """\
asset,resource,cost,salvage,life_months,method,in_service,currency
Switch,node-1,3600.00,0,36,straight-line,2023-11-15,USD
"""
PAY = """\
person,start,end,gross,employer_cost,currency,split,department
ann,2023-11-01,2024-04-01,30000.00,6600.00,USD,,sales
bob,2023-11-01,2024-04-01,30000.00,6600.00,USD,,operations
"""
RENT = """\
id,description,supplier,natural_class,amount,currency,start,end,department
R-1,Desks,A Landlord,colocation,900.00,USD,2023-12-01,2024-03-01,office
"""
CALLS = "source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens\n"
USED = """\
gw,1,openai,gpt-5-mini,acme,serve-paid,2023-11-30T23:59:59.999Z,2023-11-30T23:59:59.999Z,1000,20
gw,2,openai,gpt-5-mini,acme,serve-paid,2023-12-01T00:00:00Z,2023-12-01T00:00:01Z,1000,30
gw,3,openai,gpt-5-mini,burns,serve-free,2024-02-29T12:00:00Z,2024-02-29T12:00:01Z,1000,40
gw,4,openai,gpt-5-mini,acme,serve-paid,2024-03-01T12:00:00Z,2024-03-01T12:00:01Z,1000,50
"""
LATE_CALL = """\
gw,5,openai,gpt-5-mini,acme,serve-paid,2023-11-20T12:00:00Z,2023-11-20T12:00:01Z,0,7
"""
LATE_BILL = f"""{FOCUS}\
11.11,USD,2023-11-01,2024-01-01,Usage,Compute,Machines,Another Cloud,A late node,node-2
"""
PLAN = """\
currency = "USD"
effective = 2023-11-01
subscription = "31.00"
[[price]]
unit = "output_tokens"
each = "1.00"
"""


class Company:
    """A data folder, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"

    def run(self, *arguments: object) -> str:
        """Output of a command, which must end well."""
        return run(*arguments, "--data", self.data).stdout

    def chart(self) -> Path:
        """The chart of accounts that ships, in a file."""
        return self.file("chart.toml", run("books", "chart").stdout)

    def file(self, name: str, text: str) -> Path:
        """A file of the company's."""
        path = self.folder / name
        path.write_text(text)
        return path

    def statement(self, month: str, *options: str) -> dict[str, Any]:
        """Our statement of `month`."""
        printed = self.run("books", "statement", "--json", "--period", month, *options)
        told: dict[str, Any] = json.loads(printed)
        return told


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """The company of this file; two months are closed, and then something comes late for both."""
    one = Company(tmp_path_factory.mktemp("company"))
    one.run("books", "import", *(
        one.file(name, text) for name, text in (
            ("bills.csv", BILLS), ("assets.csv", ASSETS), ("pay.csv", PAY), ("rent.csv", RENT)
        )
    ))  # fmt: skip
    one.run("customers", "create", "acme", "--plan", one.file("plan.toml", PLAN))
    with closing(SqliteAccounts(one.data / "accounts.db")) as accounts:
        for name, day, amount, expires in (
            ("c1", "2023-11-10", "60.00", None),
            ("c2", "2023-12-31", "75.00", parse_moment_ns("2024-02-01")),
        ):
            bought = parse_moment_ns(day)
            accounts.add_credit(
                Credit(name, CustomerId("acme"), bought, parse_pico(amount), "USD", expires)
            )
    one.run("usage", "import", one.file("calls.csv", CALLS + USED))
    one.run("books", "close", "2023-11", "--begin")
    one.run("books", "close", "2023-12")
    one.run("usage", "import", one.file("late-call.csv", CALLS + LATE_CALL))
    one.run("books", "import", one.file("late-bill.csv", LATE_BILL))
    return one


def ours(statement: dict[str, Any]) -> dict[str, int]:
    """The income statement of `statement`, by account as a journal names it; income is positive here."""
    sums: dict[str, int] = defaultdict(int)
    for line in statement["lines"]:
        account = f"Expenses:{line['function']}:{line['natural_class']}:{line['pool']}"
        sums[account_name(Account(account))] += parse_pico(line["amount"])
    for line in statement["revenue_lines"]:
        account = f"Income:{line['item'].title()}:{line['customer']}"
        sums[account_name(Account(account))] += parse_pico(line["amount"])
    return {account: pico for account, pico in sums.items() if pico}


def drawn_by_hledger(path: Path, unit: str = " USDP") -> list[dict[str, str]]:
    """The income statement that hledger draws of every month in the journal at `path`, by account."""
    command = ["hledger", "-f", str(path), "incomestatement", "--monthly", "--output-format", "csv"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    rows = [
        row for row in csv.reader(io.StringIO(told)) if row[0].startswith(("Income:", "Expenses:"))
    ]
    return [
        {
            account: cell.removesuffix(unit)
            for account, *cells in rows
            if (cell := cells[month]) != "0"
        }
        for month in range(len(rows[0]) - 1)
    ]


def whole(told: dict[str, str]) -> dict[str, int]:
    """Picounits by account."""
    return {account: int(cell) for account, cell in told.items()}


def test_hledger_draws_our_income_statement_of_every_month(
    company: Company, hledger: Check
) -> None:
    """Theorem 19, over months that are closed, corrected, and open."""
    path = company.folder / "all.journal"
    company.run(
        "books", "export", "hledger", "--from", "2023-11-01", "--to", "2024-04-01", "--out", path
    )
    done = hledger(path)
    assert (done.returncode, done.stderr) == (0, "")
    told = list(map(whole, drawn_by_hledger(path)))
    statements = [company.statement(month) for month in MONTHS]
    assert told == list(map(ours, statements))
    assert statements[2]["corrections"]
    assert told[1]["Income:Subscription:Acme"] == 31 * 10**12
    assert told[2]["Income:Breakage:Acme"] == 44 * 10**12


@pytest.mark.parametrize("month", MONTHS)
def test_the_journal_of_one_month_has_that_month(
    month: str, company: Company, hledger: Check
) -> None:
    """Theorem 19, month for month, from a journal of its own; under another policy as well."""
    for policy in ("gaap", "marginal"):
        path = company.folder / f"{month}-{policy}.journal"
        options = ("--period", month, "--policy", policy)
        company.run("books", "export", "hledger", *options, "--out", path)
        assert hledger(path).returncode == 0
        (told,) = drawn_by_hledger(path)
        assert whole(told) == ours(company.statement(month, "--policy", policy))


def test_beancount_accepts_it(company: Company, bean_check: Check) -> None:
    """All months, exact and in cents under a chart of accounts."""
    for options in ((), ("--decimals", "2"), ("--decimals", "2", "--chart", company.chart())):
        path = company.folder / "all.beancount"
        company.run("books", "export", "beancount", *options, "--out", path)
        done = bean_check(path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_in_cents_every_account_is_ours_rounded(company: Company, hledger: Check) -> None:
    """Each kind of journal rounds an account once: half a cent for each, and the rounding says the rest."""
    path = company.folder / "cents.journal"
    company.run("books", "export", "hledger", "--from", "2023-11-01", "--to", "2024-04-01",
                "--decimals", "2", "--out", path)  # fmt: skip
    assert hledger(path).returncode == 0
    journals = {"2024-01": 3}  # its own, and the corrections of two months before
    for month, told in zip(MONTHS, drawn_by_hledger(path, " USD"), strict=True):
        exact, halves = ours(company.statement(month)), journals.get(month, 1)
        for account in exact.keys() | told.keys() - {"Expenses:Rounding"}:
            off_pico = parse_pico(told.get(account, "0")) - exact.get(account, 0)
            assert abs(off_pico) * 2 <= halves * 10**10, (month, account)


@pytest.mark.slow
def test_a_closed_month_verifies_and_keeps_its_journal(company: Company) -> None:
    """Late bills leave the sealed journal as it was."""
    assert "Sound" in company.run("books", "verify")
    told = company.run("books", "export", "hledger", "--period", "2023-11")
    assert "Another-Cloud" not in told
    assert "correction of" in company.run("books", "export", "hledger", "--period", "2024-01")


def test_credit_is_used_once_whatever_comes_late(company: Company, hledger: Check) -> None:
    """A late call uses credit that a later closed month had used; that month is corrected with it.

    Of 135.00 bought, 44.00 expires and the rest is used: nothing is left, and never more than nothing.
    """
    path = company.folder / "credit.journal"
    company.run("books", "export", "hledger", "--to", "2024-04-01", "--out", path)
    assert hledger(path).returncode == 0
    command = [
        "hledger",
        "-f",
        str(path),
        "balance",
        "Liabilities:Credits",
        "--monthly",
        "--historical",
    ]
    told = subprocess.run(
        [*command, "--output-format", "csv", "--empty"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    (left,) = [
        row[1:] for row in csv.reader(io.StringIO(told)) if row[0] == "Liabilities:Credits:Acme"
    ]
    assert left == ["-40000000000000 USDP", "-75000000000000 USDP", "0", "0", "0"]
    causes = [one["causes"] for one in company.statement("2024-01")["corrections"]]
    assert [any("credit of acme" in cause for cause in of) for of in causes] == [False, True]
    assert "Sound" in company.run("books", "verify")


def test_the_tables_date_every_posting_in_its_month(company: Company) -> None:
    """In a span of several months too: what November sold and was allocated stands in November."""
    out = company.folder / "tables"
    company.run(
        "books", "export", "csv", "--from", "2023-11-01", "--to", "2024-04-01", "--out", out
    )
    months: dict[str, int] = defaultdict(int)
    for row in csv.DictReader((out / "postings.csv").read_text().splitlines()):
        if row["account"] == "Income:Subscription:acme":
            months[row["at"][:7]] -= parse_pico(row["amount"])
    assert months == dict.fromkeys(MONTHS, 31 * 10**12)
