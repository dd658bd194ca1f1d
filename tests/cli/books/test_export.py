"""`inferworks books export` and `inferworks books report`, as somebody types them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from tests.support.command_line import invoke

from inferworks.books.exports.formats import FORMATS, JOURNALS

BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceCategory,\
ServiceName,InvoiceIssuerName,ChargeDescription,ResourceId
12.50,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Usage,Compute,Machines,Example Cloud,A node,local
"""


def run(*arguments: str | Path) -> tuple[int, str]:
    """The exit status, and what was printed: without the notes where all went well."""
    result = invoke("books", *arguments)
    text = f"{result.output}{result.exception or ''}"
    return result.exit_code, result.stdout if result.exit_code == 0 else text


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one bill of one line."""
    (tmp_path / "bill.csv").write_text(BILL)
    code, text = run("import", tmp_path / "bill.csv", "--data", tmp_path / "data")
    assert code == 0, text
    return tmp_path / "data"


@pytest.mark.parametrize("form", [*FORMATS, *JOURNALS])
def test_every_format_is_written(form: str, data: Path, tmp_path: Path) -> None:
    """The paths that are printed are the files that are there."""
    out = tmp_path / "out"
    out.mkdir()
    code, text = run("export", form, "--data", data, "--out", out)
    assert code == 0, text
    assert sorted(map(Path, text.split())) == sorted(out.iterdir())


def test_one_file_is_printed(data: Path) -> None:
    """Without --out, so that it can be piped into its checker."""
    code, text = run("export", "json", "--data", data, "--period", "2026-11")
    assert code == 0, text
    assert json.loads(text)["statement"]["billed"] == "12.50"


def test_half_a_month_is_half_the_bill(data: Path) -> None:
    """The span cuts what is exported as it cuts a statement."""
    code, text = run("export", "json", "--data", data, "--from", "2026-11-01", "--to", "2026-11-16")
    assert code == 0, text
    assert json.loads(text)["charges"][0]["amount"] == "6.25"


def test_a_closed_period_is_exported_as_it_was_sealed(data: Path, tmp_path: Path) -> None:
    """A late bill does not change the closed month; it is a correction of the open one."""
    assert run("close", "2026-11", "--data", data, "--begin")[0] == 0
    late = tmp_path / "late.csv"
    late.write_text(BILL.replace("12.50", "3.00").replace("A node", "A late line"))
    assert run("import", late, "--part", "--data", data)[0] == 0
    november = json.loads(run("export", "json", "--data", data, "--period", "2026-11")[1])
    assert november["statement"]["billed"] == "12.50"
    assert [charge["amount"] for charge in november["charges"]] == ["12.50"]
    december = json.loads(run("export", "json", "--data", data, "--period", "2026-12")[1])
    assert december["statement"]["billed"] == "3.00"
    assert {row["period"] for row in december["corrections"]} == {"2026-11"}


@pytest.mark.parametrize("form", JOURNALS)
def test_a_journal_says_what_is_not_closed(form: str, data: Path, tmp_path: Path) -> None:
    """All of it until the close; of two months in one journal the open one."""
    more = tmp_path / "more.csv"
    more.write_text(BILL.replace("2026-12", "2027-01").replace("2026-11", "2026-12"))
    assert run("import", more, "--data", data)[0] == 0
    november = ("--data", str(data), "--period", "2026-11")
    both = ("--data", str(data), "--from", "2026-11-01", "--to", "2027-01-01")

    def marked(*arguments: str) -> tuple[str, set[str]]:
        """Words beside the journal, and those of its lines that say that they are provisional."""
        result = invoke("books", "export", form, *arguments)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        return result.stderr, {line for line in lines if "provisional" in line.casefold()}

    said, lines = marked(*november)
    assert "Provisional: what is from 2026-11-01 on is not closed and may change." in said
    assert lines
    assert run("close", "2026-11", "--data", data, "--begin")[0] == 0
    said, lines = marked(*november)
    assert (lines, "Provisional" in said) == (set(), False)
    said, lines = marked(*both)
    assert "from 2026-12-01 on is not closed" in said
    assert lines
    assert not any("2026-11" in line for line in lines)


def test_several_files_need_a_folder(data: Path) -> None:
    """The error says what to do."""
    code, text = run("export", "csv", "--data", data)
    assert code != 0
    assert "name a folder for them with --out" in text


@pytest.mark.parametrize("verb", [("export", "json"), ("report", "--out", "report.html")])
def test_rules_for_pools_can_be_given(
    verb: tuple[str, ...], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As to a statement: what is exported is drawn under them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pools.toml").write_text('[[pool]]\nname = "all-of-it"\ndriver = "none"\n')
    code, text = run(*verb, "--data", data, "--pools", "pools.toml")
    assert code == 0, text
    assert "all-of-it" in (text if verb[0] == "export" else Path("report.html").read_text())
    code, text = run(*verb, "--data", data, "--pools", "none.toml")
    assert code != 0
    assert "cannot read the pools file none.toml" in text


def test_a_period_and_dates_contradict(data: Path) -> None:
    """Only one of them can be meant."""
    code, text = run(
        "export", "json", "--data", data, "--period", "2026-11", "--from", "2026-11-02"
    )
    assert code == 2
    assert "name a period or dates, not both" in text


def test_the_report_is_one_page(data: Path, tmp_path: Path) -> None:
    """Without scripts or anything from elsewhere."""
    out = tmp_path / "report.html"
    code, text = run("report", "--data", data, "--out", out)
    assert code == 0, text
    page = out.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert "12.50" in page


def debits(*arguments: str | Path) -> dict[str, list[str]]:
    """Debits of the journal for QuickBooks, by day."""
    code, text = run("export", "quickbooks", *arguments)
    assert code == 0, text
    found: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        month, day, year = row["JournalDate"].split("/")
        if row["Debits"]:
            found.setdefault(f"{year}-{month}-{day}", []).append(row["Debits"])
    return found


@pytest.mark.parametrize("form", JOURNALS)
def test_a_journal_since_long_ago_begins_with_the_month_of_the_first_record(
    form: str, tmp_path: Path
) -> None:
    """A record that begins amid a day makes no part of a month; dates before all records have no entry."""
    data, bill = ["--data", tmp_path / "data"], tmp_path / "bill.csv"
    bill.write_text(BILL.replace("2026-11-01T00", "2026-11-03T09"))
    assert run("import", bill, *data)[0] == 0
    whole = run("export", form, "--period", "2026-11", *data)
    assert whole[0] == 0
    for since in ("1700-01-01", "2026-10-31", "2026-11-01"):
        assert run("export", form, "--from", since, *data) == whole
    code, text = run("export", form, "--from", "2020-01-01", "--to", "2020-03-01", *data)
    assert (code, "12.50" in text) == (0, False)
    code, text = run("export", form, "--from", "2026-11-02T10:00:00Z", *data)
    assert code != 0
    assert "a journal has whole days; give days without a time" in text


def test_a_journal_of_any_span_is_cut_into_periods(tmp_path: Path) -> None:
    """Closed ones as sealed, the first open one with its corrections; a part of one where dates say so."""
    bill = BILL.replace("2026-12-01", "2024-02-01").replace("2026-11-01", "2024-01-01")
    february = bill.replace("2024-02-01", "2024-03-01").replace("2024-01-01", "2024-02-01")
    data, late, more = ["--data", tmp_path / "data"], tmp_path / "late.csv", tmp_path / "more.csv"
    (tmp_path / "bill.csv").write_text(bill)
    late.write_text(bill.replace("12.50", "3.00").replace("A node", "A late line"))
    more.write_text(february.replace("12.50", "29.00"))
    assert run("import", tmp_path / "bill.csv", *data)[0] == 0
    assert run("close", "2024-01", *data, "--begin")[0] == 0
    assert run("import", late, "--part", *data)[0] == 0
    assert debits(*data) == {"2024-01-31": ["12.50"]}
    all_of_it = (*data, "--from", "2024-01-01")
    assert debits(*all_of_it) == {"2024-01-31": ["12.50"], "2024-02-29": ["3.00"]}
    assert run("import", more, *data)[0] == 0
    both = {"2024-01-31": ["12.50"], "2024-02-29": ["29.00", "3.00"]}
    assert debits(*all_of_it) == both
    assert debits(*data) == {"2024-02-29": ["29.00", "3.00"]}
    assert debits(*data, "--from", "2024-01-01", "--to", "2024-03-01") == both
    assert debits(*data, "--from", "2024-02-01") == {"2024-02-29": ["29.00", "3.00"]}
    assert debits(*data, "--to", "2024-02-02") == {"2024-01-31": ["12.50"], "2024-02-01": ["1.00"]}


def test_options_that_a_format_has_no_use_for_are_refused(data: Path) -> None:
    """Each by name."""
    for form, option, value in (
        ("json", "--chart", "chart.toml"),
        ("csv", "--decimals", "2"),
        ("focus", "--zone", "UTC"),
        ("hledger", "--seller", "Us"),
    ):
        code, text = run("export", form, option, value, "--data", data)
        assert code == 2
        assert f"{option} is not for {form}" in text
    code, text = run("export", "xero", "--decimals", "3", "--data", data)
    assert (code, "xero takes at most 2 decimals" in text) == (2, True)
    code, text = run("export", "xero", "--zone", "Mars/Olympus", "--data", data)
    assert (code, "no time zone 'Mars/Olympus'" in text) == (2, True)


def test_the_chart_is_printed_checked_and_used(data: Path, tmp_path: Path) -> None:
    """`books chart` prints it; one's own is checked when it is loaded, and may be configured."""
    code, text = run("chart")
    assert code == 0, text
    own = tmp_path / "chart.toml"
    own.write_text(text.replace("Cost of revenue - compute", "Rented machines"))
    code, told = run("chart", own)
    assert code == 0, told
    assert "takes every account of the books" in told
    config = tmp_path / "inferworks.toml"
    config.write_text(f'[books]\nchart = "{own}"\n')
    for options in (("--chart", own), ("--config", config)):
        assert "Rented machines" in run("export", "quickbooks", "--data", data, *options)[1]
    own.write_text(
        text.replace('takes = ["Liabilities:Payable:*"]', 'takes = ["Liabilities:Nobody:*"]')
    )
    code, told = run("export", "quickbooks", "--data", data, "--chart", own)
    assert code != 0
    assert "chart.toml has no row for Liabilities:Payable:(any)" in told
