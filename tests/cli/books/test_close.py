"""The commands that close, verify and reopen, as somebody types them; and the auditor's own script."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.books.statement.statement import Statement
from inferworks.checksum import row_checksum
from inferworks.clock import SimClock

JANUARY_NS = 1_798_761_600 * 10**9  # 2027-01-01
ROOT = Path(__file__).parents[3]
HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceCategory,"
    "ServiceName,InvoiceIssuerName,ChargeDescription,ResourceId,InvoiceId,x_LineId\n"
)


@pytest.fixture(autouse=True)
def november(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a bill of November imported, and a day on which December is over."""
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(JANUARY_NS))
    monkeypatch.chdir(tmp_path)
    a_bill("november", "12.50", "2026-11-01", "2026-12-01")


def a_bill(name: str, amount: str, start: str, end: str, line: str = "") -> None:
    """Import a bill of one line."""
    row = (
        f"{amount},USD,{start}T00:00:00Z,{end}T00:00:00Z,Usage,Compute,Machines,Example Cloud,"
        f"One node,node-1,{name},{line or name}\n"
    )
    Path(f"{name}.csv").write_text(HEADER + row)
    run("books", "import", f"{name}.csv")


def test_from_close_to_correction_to_close(tmp_path: Path) -> None:
    """Close, a late bill, the sealed statement as it was, the correction in December, close again."""
    sealed = document("books", "close", "2026-11")
    assert (sealed["billed"], sealed["number"]) == ("12.50", 0)
    before = run("books", "statement", "--period", "2026-11", "--json").stdout
    a_bill("late", "3.25", "2026-11-10", "2026-11-11")
    assert run("books", "statement", "--period", "2026-11", "--json").stdout == before
    december = document("books", "statement", "--period", "2026-12")
    assert (december["billed"], december["corrections"][0]["period"]) == ("3.25", "2026-11")
    assert document("books", "close", "2026-12")["corrects"] == ["2026-11"]
    assert document("books", "verify", "--head", sealed["sha256"]) == {
        "sound": True, "closes": 2, "findings": [],
    }  # fmt: skip
    rows = document("books", "periods")
    assert [row["status"] for row in rows] == ["Closed", "Closed", "Open"]
    assert (rows[0]["sha256"], rows[0]["closed_ns"]) == (sealed["sha256"], sealed["closed_ns"])


def test_a_statement_says_that_its_period_is_closed() -> None:
    """The head names when and by whom, and the hash that `close` told to write down; open ones do not."""
    assert "Closed" not in run("books", "statement", "--period", "2026-11").stdout
    sealed = document("books", "close", "2026-11")
    for arguments in ([], ["--by", "customer"], ["--by", "region"], ["--policy", "full"]):
        head = run("books", "statement", "--period", "2026-11", *arguments).stdout.splitlines()[:3]
        assert re.fullmatch(
            rf"Closed \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d by \S+, SHA-256 {sealed['sha256'][:12]}",
            head[1],
        )
        assert head[2] == ""


@pytest.mark.parametrize("period", ["2027-02", "2027-01-01..2027-03-01", "2100-01"])
def test_a_period_that_has_not_begun_is_not_closed(period: str) -> None:
    """A period is closed once it has begun, whatever it is called, with a note while it is not over."""
    words = f"{period} has not begun: it begins 2"
    at_ns = JANUARY_NS - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(at_ns))
        assert words in refusal("books", "close", period, "--begin")
        assert (
            not Path("inferworks-data/ledger").exists()
            or document("books", "periods")[0]["closed"] == ""
        )
        assert (
            "has not ended"
            in run("books", "close", "2026-12", "--begin", "--accept", "none").stderr
        )


@pytest.mark.slow
def test_every_note_stands_on_a_line_of_its_own() -> None:
    """Notes stand apart also where both outputs of a command end up in one place, as in a terminal."""
    a_bill("begun", "3.00", "2026-10-01", "2200-02-01")
    command = ["close", "2026-10-01..2200-01-01", "--begin"]
    done = subprocess.run(
        [sys.executable, "-m", "inferworks", "books", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    notes = [line for line in done.stdout.splitlines() if "Note:" in line]
    assert notes == [line for line in notes if line.startswith("Note:")] != []
    assert done.stdout.endswith("\n")


def test_an_import_says_which_open_period_a_late_line_corrects() -> None:
    """Lines of a bill and rows of usage that are new; not those that are here already."""
    run("books", "close", "2026-11")
    a_bill("ordinary", "1.00", "2026-12-01", "2026-12-02")
    row = "3.25,USD,2026-11-10,2026-11-11,Usage,Compute,M,Example Cloud,A line,node-1,late,{}\n"
    Path("late.csv").write_text(HEADER + row.format(1) + row.format(2))
    result = run("books", "import", "late.csv")
    assert (
        "late.csv: 2 lines are for 2026-11, which is closed: they correct 2026-12" in result.stderr
    )
    assert run("books", "import", "late.csv").stderr == ""
    jobs = "source,id,node,purpose,start,end,seconds\n"
    jobs += "slurm,1,gpu-3,train-gradient,2026-11-21T00:00:00Z,2026-11-21T01:00:00Z,60\n"
    Path("jobs.csv").write_text(jobs)
    for note in (["jobs.csv: 1 line is for 2026-11, which is closed: it corrects 2026-12"], []):
        result = invoke("usage", "import", "jobs.csv", "--json")
        assert json.loads(result.stdout)["notes"] == note


def corrected_november() -> None:
    """November closed at 12.50, corrected by 3.25 in December, which is closed too, and by 1.00 since."""
    run("books", "close", "2026-11")
    a_bill("late", "3.25", "2026-11-10", "2026-11-11")
    run("books", "close", "2026-12")
    a_bill("later", "1.00", "2026-11-20", "2026-11-21")


def test_a_closed_period_shows_what_was_booked_for_it_later() -> None:
    """The bridge: as sealed, each correction under the period that books it, and all of it, adding up."""
    corrected_november()
    november = document("books", "bridge", "--period", "2026-11")
    costs = [(row["name"], row["cost_of_revenue"]) for row in november["corrected_since"]]
    assert costs == [
        ("as sealed", "12.50"),
        ("booked in 2026-12", "3.25"),
        ("booked in 2027-01", "1.00"),
        ("as corrected", "16.75"),
    ]
    december = document("books", "bridge", "--period", "2026-12")
    costs = [(row["name"], row["cost_of_revenue"]) for row in december["corrections_booked"]]
    assert costs == [("its own", "0.00"), ("for 2026-11", "3.25"), ("together", "3.25")]
    assert december["corrected_since"] == []
    for verb in (("statement",), ("bridge",), ("economics",), ("compare", "gaap", "full")):
        text = run("books", *verb, "--period", "2026-11").stdout
        assert "booked in 2026-12" in text
        assert max(map(len, text.splitlines())) <= 80


def test_a_closed_period_is_explained_with_its_corrections() -> None:
    """Named lines beside the sealed figures; a bill that came late is explained by its dates."""
    corrected_november()
    found = document("books", "explain", "pool:other", "--period", "2026-11")
    assert found["cost"]["amount"] == "12.50"
    text = run("books", "explain", "pool:other", "--period", "2026-11").stdout
    assert "Correction booked in 2026-12. Late: charge chg_" in text
    assert [(c["name"], c["cost"]["amount"]) for c in found["corrections"]] == [
        ("booked in 2026-12", "3.25"),
        ("booked in 2027-01", "1.00"),
    ]
    assert found["together"]["cost"] == "16.75"
    assert (
        document("books", "explain", "pool:other", "--period", "2026-12")["together"]["cost"]
        == "3.25"
    )
    cause = found["corrections"][0]["causes"][0].replace("charge ", "charge:")
    hint = refusal("books", "explain", cause, "--period", "2026-11")
    assert "--from 2026-11-01 --to 2026-12-01" in hint
    dates = ("--from", "2026-11-01", "--to", "2026-12-01")
    assert document("books", "explain", cause, *dates)["cost"]["amount"] == "3.25"


def test_policies_are_compared_with_the_corrections_beside() -> None:
    """The period's own view, each correction under both policies, and the view of all together."""
    corrected_november()
    found = document("books", "compare", "gaap", "marginal", "--period", "2026-11")
    assert found["view"][1]["amounts"][0] == "12.50"
    assert [one["view"][1]["amounts"][0] for one in found["corrections"]] == ["3.25", "1.00"]
    assert found["together"][1]["amounts"][0] == "16.75"


def test_a_closed_period_under_another_policy_keeps_the_corrections_it_books() -> None:
    """December under `full` bills the same as under the policy it was closed under."""
    corrected_november()
    for policy in ("gaap", "full", "marginal"):
        arguments = ("statement", "--period", "2026-12", "--policy", policy)
        assert document("books", *arguments)["billed"] == "3.25"


def test_exports_stay_as_sealed_and_say_where_the_corrections_are(tmp_path: Path) -> None:
    """The journal of November has no line of them; the report tells of them beside its figures."""
    before = run("books", "export", "hledger", "--period", "2026-11").stdout.splitlines()
    corrected_november()
    result = run("books", "export", "hledger", "--period", "2026-11")
    after = result.stdout.splitlines()
    *_, seal = before
    provisional = [line for line in before if line.startswith("; Provisional: ")]
    assert len(provisional) == 1
    assert after[:-1] == [line for line in before if line not in (*provisional, seal)]
    assert "its corrections are in 2026-12, 2027-01" in result.stderr
    exported = json.loads(run("books", "export", "json", "--period", "2026-11").stdout)
    assert [charge["amount"] for charge in exported["charges"]] == ["12.50"]
    costs = [r for r in exported["corrected_since"] if r["figure"] == "cost-of-revenue"]
    assert [(row["line"], row["amount"]) for row in costs] == [
        ("as sealed", "12.50"),
        ("booked in 2026-12", "3.25"),
        ("booked in 2027-01", "1.00"),
        ("as corrected", "16.75"),
    ]
    assert "its corrections are in 2026-12" in run("books", "methods", "--period", "2026-11").stderr
    run("books", "report", "--period", "2026-11", "--out", "report.html")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Corrected since" in page
    assert "booked in 2027-01" in page


def test_a_newer_program_prints_the_statement_as_it_was_sealed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Theorem 12: with --json to the byte, whatever this version would print instead."""
    run("books", "close", "2026-11")
    before = run("books", "statement", "--period", "2026-11", "--json").stdout
    monkeypatch.setattr(Statement, "to_json", lambda self, by=None: {"another": "layout"})
    assert run("books", "statement", "--period", "2026-11", "--json").stdout == before
    assert "another" in run("books", "statement", "--period", "2026-12", "--json").stdout


def test_order_and_reasons() -> None:
    """A gap, a second close, a reopening out of order or without a reason: one line each."""
    assert "2026-11 is still open" in refusal("books", "close", "2026-12")
    run("books", "close", "2026-11")
    assert "is closed" in refusal("books", "close", "2026-11")
    assert "nothing is recorded in it" in refusal("books", "close", "2026-12")
    run("books", "close", "2026-12", "--accept", "no business")
    assert "depends on it" in refusal("books", "reopen", "2026-11", "--reason", "x")
    assert "give the reason" in refusal("books", "reopen", "2026-12", "--reason", " ")
    reopened = document("books", "reopen", "2026-12", "--reason", "a price was wrong")
    assert reopened["record"]["reason"] == "a price was wrong"
    assert [row["status"] for row in document("books", "periods")] == ["Closed", "Open", "Open"]
    assert "never closed" in refusal("books", "verify", "2027-01")


def test_a_restated_line_stops_the_close_until_it_is_accepted(tmp_path: Path) -> None:
    """The restated line is named, and the reason for accepting it stands in the record."""
    text = Path("november.csv").read_text().replace("12.50", "13.50")
    Path("again.csv").write_text(text)
    refusal("books", "import", "again.csv")
    assert "again.csv: its 1 line (" in refusal("books", "close", "2026-11")
    done = document("books", "close", "2026-11", "--accept", "disputed with the supplier")
    assert len(done["accepted"]) == 1


def test_a_changed_charge_is_found_and_the_exit_status_tells(tmp_path: Path) -> None:
    """One digit in books.db: refused by its checksum; and with a right one, named in words."""
    run("books", "close", "2026-11")
    database = sqlite3.connect("inferworks-data/books.db", isolation_level=None)
    database.execute(
        "UPDATE charges SET body = CAST(replace(body, '12500000000000', '12500000000001') AS BLOB)"
    )
    assert "its checksum differs" in refusal("books", "verify", "2026-11")
    for *row, _ in database.execute("SELECT * FROM charges").fetchall():
        signed = (row_checksum("charges", row), row[0])
        database.execute("UPDATE charges SET checksum = ? WHERE id = ?", signed)
    database.close()
    found = invoke("books", "verify", "2026-11")
    assert found.exit_code == 1
    assert "amount_pico is 12500000000001, sealed as 12500000000000" in found.output
    assert "no record with the hash abcabcabcabc" in refusal(
        "books", "verify", "--head", "abcabcabcabc"
    )
    for head in ("abc", "", "g" * 64, "0" * 65):
        assert "is no hash" in refusal("books", "verify", "--head", head)


def test_declared_periods(tmp_path: Path) -> None:
    """A fiscal period is declared once and closed by its name."""
    run("books", "periods", "fy27-p02", "--from", "2026-11-01", "--to", "2026-11-29")
    assert "overlaps" in refusal("books", "close", "2026-11")
    assert document("books", "close", "fy27-p02")["period"] == "fy27-p02"
    names = [row["period"] for row in document("books", "periods")]
    assert names[:2] == ["fy27-p02", "2026-11-29..2026-12-01"]


def test_the_auditors_script_works(tmp_path: Path) -> None:
    """The script of docs/closing.md checks the chain without this program, and finds a forgery."""
    sealed = document("books", "close", "2026-11")
    text = (ROOT / "docs" / "closing.md").read_text(encoding="utf-8")
    [script] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"the chain holds up to {sealed['sha256']}"
    database = sqlite3.connect("inferworks-data/ledger.db", isolation_level=None)
    database.execute("DROP TRIGGER record_is_not_updated")
    database.execute('UPDATE record SET body = replace(body, \'"by":"\', \'"by":"not \')')
    database.close()
    forged = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert forged.returncode == 1
