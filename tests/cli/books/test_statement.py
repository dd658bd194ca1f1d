"""`inferworks books` as its user meets it: files in, a statement out, one clear line when it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.errors import BooksError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_step, a_usage, an_interval

DAY_NS = 1_795_219_200 * 10**9  # 2026-11-21
SECOND_NS = 10**9
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Compute,node-1
1.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Networking,
"""
SHEET = """\
person,start,end,minutes,node,activity,pay,currency,sheet
ann,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,10,node-1,,5.00,USD,2026-47
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own, so that `./inferworks-data` is ours too."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bills(tmp_path: Path) -> tuple[Path, Path]:
    """A machine and a web server for ten seconds, and a repair."""
    bill, sheet = tmp_path / "bill.csv", tmp_path / "sheet.csv"
    bill.write_text(BILL)
    sheet.write_text(SHEET)
    return bill, sheet


@pytest.fixture
def served() -> DataFolder:
    """A data folder in which acme was served for four of ten seconds, for 14.00."""
    folder = DataFolder(Path("inferworks-data"))
    folder.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, DAY_NS, "USD", "8.00", "12.00")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(acme, DAY_NS), plan)
    tokens = Tokens(input=1_000_000, output=500_000)
    with journal(folder) as store:
        store.write(
            [
                a_usage("call-1", opened_ns=DAY_NS, tokens=tokens, sent_bytes=500),
                a_step(0, DAY_NS, 4 * SECOND_NS, [("call-1", 10, 0, 0)]),
                *an_interval(
                    (DAY_NS, DAY_NS + 10 * SECOND_NS),
                    {State.ACTIVE: 4 * SECOND_NS, State.IDLE: 6 * SECOND_NS},
                ),
            ]
        )
    return folder


@contextmanager
def journal(folder: DataFolder) -> Iterator[SqliteStore]:
    """The journal of `folder`, open for writing."""
    store = SqliteStore(folder.journal)
    store.open()
    try:
        yield store
    finally:
        store.close()


def test_bills_in_statement_out(bills: tuple[Path, Path], served: DataFolder) -> None:
    """The whole way: two files, a journal, price plans, and the figures worked out by hand."""
    run("books", "import", *bills)
    result = run("books", "statement", "--json")
    drawn = json.loads(result.stdout)
    assert drawn["billed"] == drawn["allocated"] == "16.00"
    assert drawn["statement"] == {
        "policy": "gaap",
        "currency": "USD",
        "revenue": "14.00",
        "cost_of_revenue": "16.00",
        "gross_margin": "-2.00",
        "unused_capacity": "6.00",
        "research_and_development": "0.00",
        "sales_and_marketing": "0.00",
        "general_and_administrative": "0.00",
    }
    [acme, unused] = drawn["customers"]
    assert (acme["customer"], acme["cost_of_revenue"], acme["gross_margin"]) == (
        "acme",
        "10.00",
        "4.00",
    )
    assert (unused["customer"], unused["cost_of_revenue"]) == ("(unused capacity)", "6.00")


def test_an_import_counts_and_totals(bills: tuple[Path, Path]) -> None:
    """New lines, duplicate lines, and what the new ones sum to."""
    first = invoke("books", "import", *bills).output.split()
    assert first[6:] == [
        "bill.csv",
        "focus",
        "2",
        "0",
        "11.00",
        "USD",
        "sheet.csv",
        "timesheet",
        "1",
        "0",
        "5.00",
        "USD",
    ]
    again = invoke("books", "import", bills[0]).output.split()
    assert again[6:] == ["bill.csv", "focus", "0", "2", "0.00", "USD"]


def test_a_bad_file_does_not_keep_a_good_one_out(bills: tuple[Path, Path], tmp_path: Path) -> None:
    """Each file lands whole or not at all, and the bad one's lines are all named."""
    bad = tmp_path / "bad.csv"
    bad.write_text(BILL.replace("10.00", "ten").replace("1.00", "one"))
    result = invoke("books", "import", bad, bills[1])
    assert "sheet.csv" in result.output
    assert str(result.exception).splitlines() == [
        "bad.csv, line 2, column BilledCost: 'ten': not a plain decimal number: 'ten'",
        "bad.csv, line 3, column BilledCost: 'one': not a plain decimal number: 'one'",
    ]
    drawn = document("books", "statement")
    assert drawn["billed"] == "5.00"


@pytest.mark.parametrize("by", [None, "customer", "model", "purpose"])
def test_tables_fit_80_columns_without_colour(
    by: str | None, bills: tuple[Path, Path], served: DataFolder
) -> None:
    """Tables fit 80 columns outside a terminal, whatever the statement is cut by."""
    invoke("books", "import", *bills)
    result = run("books", "statement", *(["--by", by] if by else []))
    assert max(map(len, result.output.splitlines())) <= 80
    assert "\x1b" not in result.output
    assert "unused capacity: idle" in result.output


def test_it_says_why_the_margin_changed(bills: tuple[Path, Path], served: DataFolder) -> None:
    """Ten seconds beside the first half of them: the same call, more machine, all of it exact."""
    invoke("books", "import", *bills)
    dates = ("--from", "2026-11-21T00:00:00Z", "--to", "2026-11-21T00:00:10Z")
    half = "2026-11-21T00:00:00Z..2026-11-21T00:00:05Z"
    told = run("books", "statement", *dates, "--compare", half)
    assert "idle: more or less capacity stood unused" in told.stdout
    table = told.stdout[told.stdout.index("WHY IT CHANGED") :]
    assert max(map(len, table.splitlines())) <= 80
    found = document("books", "statement", *dates, "--compare", half)
    explained = found["compared"]["explained"]
    assert explained["change"] == found["compared"]["figures"]["gross_margin"]["change"]
    effects = [Decimal(pico) for pico in explained["causes"].values()]
    assert sum(effects) == Decimal(explained["change"]) == Decimal("-8.00")
    assert explained["causes"]["idle"] == "-5.00"


def test_the_report_draws_why_it_changed(
    bills: tuple[Path, Path], served: DataFolder, tmp_path: Path
) -> None:
    """`report` and `export html` draw the statement's comparison with another time and with a budget."""
    invoke("books", "import", *bills)
    budget, page = tmp_path / "budget.csv", tmp_path / "page.html"
    budget.write_text("period,line,amount\n2026-11,revenue,40\n")
    dates = ("--from", "2026-11-21T00:00:00Z", "--to", "2026-11-21T00:00:10Z")
    beside = ("--compare", "2026-11-21T00:00:00Z..2026-11-21T00:00:05Z", "--budget", budget)
    invoke("books", "report", *dates, *beside, "--out", page)
    drawn = page.read_text()
    assert 'title="-8.00"' in drawn[drawn.index("Beside 2026-11-21T") :]
    assert 'data-pico="-5000000000000"' in drawn[drawn.index("Why the gross margin changed") :]
    assert "Beside the budget" in drawn
    assert invoke("books", "export", "html", *dates, *beside).stdout == drawn
    refused = invoke("books", "export", "csv", *dates, *beside, "--out", tmp_path)
    assert "--compare is not for csv" in refused.output


def test_a_budget_stands_beside_the_statement(
    bills: tuple[Path, Path], served: DataFolder, tmp_path: Path
) -> None:
    """Ten seconds of November have their part of its budget; one line says which file is not meant."""
    invoke("books", "import", *bills)
    budget = tmp_path / "budget.csv"
    budget.write_text(
        "period,line,amount,customer\n2026-11-21T00:00:00Z..2026-11-21T00:00:20Z,Revenue,40,\n"
        "2026-11-21T00:00:00Z..2026-11-21T00:00:10Z,revenue,15,acme\n"
    )
    asked = ("books", "statement", "--from", "2026-11-21T00:00:00Z", "--to", "2026-11-21T00:00:10Z")
    told = run(*asked, "--budget", budget)
    assert "Revenue" in told.stdout
    assert "favourable" not in told.stdout
    assert told.stdout.count("adverse") == 3  # revenue, acme and the rest
    table, _, note = told.stdout.partition("Note: ")
    assert "cut by time" in note
    assert max(map(len, table.splitlines())) <= 80
    found = document(*asked, "--budget", budget)
    acme = next(one for one in found["budget"]["lines"] if one["customer"])
    assert (acme["budget"], acme["actual"], acme["variance"]) == ("15.00", "14.00", "-1.00")
    assert found["statement"]["revenue"] == "14.00"
    budget.write_text("period,line,amount\n2026-11,revenues,40\n")
    assert "no line of the statement; the nearest is 'revenue'" in str(
        invoke(*asked, "--budget", budget).exception
    )
    assert "--by cannot be combined" in invoke(*asked, "--budget", budget, "--by", "day").output


def test_a_statement_stands_beside_its_budget_and_another_time(
    bills: tuple[Path, Path], served: DataFolder, tmp_path: Path
) -> None:
    """Both tables, each as it is alone, under one head; both in the JSON."""
    invoke("books", "import", *bills)
    budget = tmp_path / "budget.csv"
    budget.write_text("period,line,amount\n2026-11,revenue,40\n")
    asked = ("books", "statement", "--from", "2026-11-21T00:00:00Z", "--to", "2026-11-21T00:00:10Z")
    compare = ("--compare", "2026-11-21T00:00:00Z..2026-11-21T00:00:05Z")
    planned = ("--budget", budget)
    both = invoke(*asked, *compare, *planned).stdout.splitlines()
    for alone in (compare, planned):
        said = [one for one in invoke(*asked, *alone).stdout.splitlines() if one[:5] != "Note:"]
        assert said
        assert [one for one in both if one in said and one] == [one for one in said if one]
    found = document(*asked, *compare, *planned)
    for name, alone in (("compared", compare), ("budget", planned)):
        assert found[name] == document(*asked, *alone)[name]


def test_dates_bound_the_span(bills: tuple[Path, Path], served: DataFolder) -> None:
    """Half of the ten seconds carries half of the bill, and says so."""
    invoke("books", "import", bills[0])
    result = invoke(
        "books", "statement", "--json", "--from", "2026-11-21", "--to", "2026-11-21T00:00:05Z"
    )
    drawn = json.loads(result.stdout)
    assert (drawn["billed"], drawn["statement"]["revenue"]) == ("5.50", "14.00")
    assert drawn["notes"] == ["2 bill lines reach beyond this span; they are accrued by time."]
    late = document("books", "statement", "--from", "2026-11-22")
    assert (late["billed"], late["statement"]["revenue"]) == ("0.00", "0.00")


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        (["--from", "yesterday"], "not a moment"),
        (["--from", "2026-11-22", "--to", "2026-11-21"], "must be after"),
        (["--from", "2200-01-01"], "2200-01-01 00:00:00 is yet to come; give --to as well"),
        (["--to", "2000-01-01"], "nothing is recorded before 2000-01-01 00:00:00; give --from"),
    ],
)
def test_dates_that_cannot_be_meant_are_refused(
    dates: list[str], reason: str, bills: tuple[Path, Path]
) -> None:
    """An error that names them, of whatever is drawn up for that span."""
    invoke("books", "import", bills[0])
    for noun in ("statement", "economics", "bridge", "report"):
        result = invoke("books", noun, *dates)
        assert result.exit_code != 0
        assert reason in f"{result.output} {result.exception}"


def test_there_must_be_something_to_state() -> None:
    """No data folder: one line that says how to begin."""
    assert "no data folder inferworks-data" in refusal("books", "statement")


def test_unknown_rules_are_refused(bills: tuple[Path, Path], tmp_path: Path) -> None:
    """A policy or pools file that is not there, or not meant."""
    invoke("books", "import", *bills)
    assert "policy 'ifrs' not found" in refusal("books", "statement", "--policy", "ifrs")
    missing = tmp_path / "none.toml"
    assert "cannot read the pools file" in refusal("books", "statement", "--pools", missing)
    missing.write_text("pool = []")
    assert "the last pool" in refusal("books", "statement", "--pools", missing)


def test_damaged_facts_stop_the_statement_with_the_figures(
    bills: tuple[Path, Path], served: DataFolder
) -> None:
    """A theorem that does not hold is said in one line, not shown as a number."""
    with journal(served) as store:
        store.write([a_step(1, DAY_NS + 5 * SECOND_NS, SECOND_NS, [])])
    result = invoke("books", "statement")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert isinstance(result.exception, BooksError)
    said = str(result.exception)
    assert said.startswith("the statement cannot be computed: theorem 5 (time)")
    assert "5000000000 ns of steps in 4000000000 ns of active" in said


def test_figures_without_a_bill_say_so(served: DataFolder, tmp_path: Path) -> None:
    """Revenue without any cost is no margin of 100 %: whatever shows it says that no bill is there."""
    words = "No bill covers this span, so neither its costs nor its margin are known."
    for noun in (["statement"], ["statement", "--by", "customer"], ["bridge"], ["economics"],
                 ["compare", "gaap", "full"]):  # fmt: skip
        assert words in invoke("books", *noun).stdout, noun
    assert words in document("books", "statement")["notes"]
    page = tmp_path / "page.html"
    invoke("books", "report", "--out", str(page))
    assert words in page.read_text()


def test_a_report_overwrites_nothing_unasked(
    bills: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out it takes the next free name and says which; a name that was given is taken."""
    monkeypatch.chdir(tmp_path)
    invoke("books", "import", bills[0])
    Path("inferworks-report.html").write_text("mine")
    for name in ("inferworks-report-2.html", "inferworks-report-3.html"):
        assert invoke("books", "report").stdout.strip() == name
    assert Path("inferworks-report.html").read_text() == "mine"
    invoke("books", "report", "--out", "inferworks-report.html")
    assert Path("inferworks-report.html").read_text() != "mine"
