"""Closing over facts that the lake has sealed: kept by reference, compared by hash, late found beside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.command_line import document, invoke, run

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.workspace import engine_choice as engines
from inferworks.books.workspace import recorded as sources
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.capacity import State
from inferworks.meter.record import Record
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import a_leg, a_step, a_usage, an_interval

ROOT = Path(__file__).parents[3]
OCTOBER_NS = (
    1_791_417_600 * 10**9
)  # 2026-10-08, so that all of it lies in the past of any machine's clock
SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-10-08T00:00:00Z,2026-10-08T00:00:10Z,A Cloud,Compute,node-1
"""


def record(records: Sequence[Record]) -> None:
    """Write `records` into the journal."""
    store = SqliteStore(Path("inferworks-data/journal.db"))
    store.open()
    with closing(store):
        store.write(list(records))


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three calls of acme on a machine in October, the facts sealed into the lake; one bill."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(Path("inferworks-data"))
    folder.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, 0, "USD", "8.00", "12.00")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(acme, 0), plan)
    calls = [
        a_usage(f"call-{n}", opened_ns=OCTOBER_NS + n, tokens=Tokens(input=1_000_000))
        for n in range(3)
    ]
    states = {State.ACTIVE: 4 * SECOND_NS, State.IDLE: 6 * SECOND_NS}
    machine = an_interval((OCTOBER_NS, OCTOBER_NS + 10 * SECOND_NS), states)
    step = a_step(0, OCTOBER_NS, 4 * SECOND_NS, [(f"call-{n}", 10, 0, 0) for n in range(3)])
    record([*calls, step, *machine])
    Path("bill.csv").write_text(BILL)
    run("books", "import", "bill.csv")
    run("lake", "seal", "--before", "2026-10-09")


def segments(table: str) -> list[Path]:
    """The files of `table` in the lake."""
    return sorted(Path(f"inferworks-data/lake/{table}").rglob("*.parquet"))


def test_status_counts_what_is_sealed_too() -> None:
    """Three calls in the lake and one in the journal; a platform that does not run exits with 1."""
    record([a_usage("call-7", opened_ns=OCTOBER_NS + 7)])
    result = invoke("status", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["journal"]["usage"], found["lake"]["usage"]) == (1, 3)
    assert found["lake"]["step"] == 1


def test_a_close_keeps_segments_by_reference() -> None:
    """No call and no step is copied into the ledger; the statement is that of the same facts inline."""
    before = document("books", "statement", "--from", "2026-10-01", "--to", "2026-11-01")
    done = document("books", "close", "2026-10")
    assert (done["billed"], done["revenue"]) == ("10.00", "24.00")
    with Ledger(Path("inferworks-data/ledger.db"), read_only=True) as ledger:
        [close] = standing(ledger.records())
    rows = {part.name: part.rows for part in close.parts}
    assert (rows["inputs/usages"], rows["inputs/steps"], rows["inputs/capacity"]) == (0, 0, 0)
    assert rows["inputs/segments"] == 3
    after = document("books", "statement", "--period", "2026-10")
    assert after["lines"] == before["lines"]
    assert document("books", "verify")["sound"]
    explained = document("books", "explain", "call:call-1", "--period", "2026-10")
    assert explained["revenue"]["amount"] == "8.00"


def test_a_missing_segment_is_named() -> None:
    """The sealed statement still reads as it did; the audit says which file is gone, and fails."""
    run("books", "close", "2026-10")
    before = run("books", "statement", "--period", "2026-10", "--json").stdout
    [file] = segments("usage")
    file.unlink()
    assert run("books", "statement", "--period", "2026-10", "--json").stdout == before
    result = invoke("books", "verify")
    assert result.exit_code == 1
    assert file.name in result.output
    assert "2026-10: cannot be recomputed" in result.output


def test_an_altered_segment_is_named() -> None:
    """One byte in the file of the steps: both hashes are told."""
    run("books", "close", "2026-10")
    [file] = segments("step")
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(body)
    result = invoke("books", "verify")
    assert result.exit_code == 1
    assert file.name in result.output
    assert "that were sealed in the lake" in result.output


@pytest.mark.slow
def test_what_arrives_late_is_found_in_journal_and_lake() -> None:
    """A late call corrects the open period while it is in the journal, and the same once it is sealed."""
    run("books", "close", "2026-10")
    tokens = Tokens(input=2_000_000)
    record([a_usage("call-9", opened_ns=OCTOBER_NS + 9, tokens=tokens)])
    first = document("books", "statement", "--period", "2026-11")
    [correction] = first["corrections"]
    assert (correction["causes"], correction["revenue"]) == (["call call-9"], "16.00")
    run("lake", "seal", "--before", "2026-10-09")
    assert len(segments("usage")) == 2
    assert document("books", "statement", "--period", "2026-11") == first
    assert document("books", "close", "2026-11")["corrects"] == ["2026-10"]
    assert document("books", "verify")["sound"]
    assert document("books", "statement", "--period", "2026-12")["corrections"] == []


def test_what_was_inline_may_move_into_the_lake() -> None:
    """Sealed after the close, a call is neither late nor missing."""
    record([a_usage("call-7", opened_ns=OCTOBER_NS + 7, tokens=Tokens(input=1_000_000))])
    assert document("books", "close", "2026-10")["revenue"] == "32.00"
    run("lake", "seal", "--before", "2026-10-09")
    assert document("books", "statement", "--period", "2026-11")["corrections"] == []
    assert document("books", "verify")["sound"]


def test_looking_for_what_is_late_reads_no_segment_that_was_sealed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The open statement after a close reads what is new alone."""
    run("books", "close", "2026-10")
    read: list[str] = []
    sealed = LakeReader._sealed

    def watched(self: LakeReader, segment: Any, start_ns: int, end_ns: int) -> Any:
        read.append(segment.name)
        return sealed(self, segment, start_ns, end_ns)

    monkeypatch.setattr(LakeReader, "_sealed", watched)
    run("books", "statement", "--period", "2026-11", "--json")
    assert read == []
    run("books", "verify")
    assert len(read) == 3


def test_the_auditors_script_reads_segments_too() -> None:
    """The script of docs/closing.md needs no program of ours, and names a segment that was altered."""
    sealed = document("books", "close", "2026-10")
    text = (ROOT / "docs" / "closing.md").read_text(encoding="utf-8")
    [script] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"the chain holds up to {sealed['sha256']}"
    [file] = segments("usage")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes() + b"x")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert file.name in done.stderr


@pytest.mark.slow
def test_duckdb_computes_large_inputs_to_the_same_amounts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Close, verify and a late correction: every line and every row of revenue as the definition has it."""
    dates = ("--from", "2026-10-01", "--to", "2026-11-01", "--engine", "reference")
    before = document("books", "statement", *dates)
    monkeypatch.setattr(engines, "MANY_FACTS", 0)
    monkeypatch.setattr(sources, "reference_statement", lambda *_: pytest.fail("by the reference"))
    assert document("books", "close", "2026-10")["revenue"] == "24.00"
    after = document("books", "statement", "--period", "2026-10")
    for name in ("lines", "revenue_lines", "billed", "statement", "customers", "questions"):
        assert after[name] == before[name]
    assert document("books", "verify")["sound"]
    record([a_usage("call-9", opened_ns=OCTOBER_NS + 9, tokens=Tokens(input=2_000_000))])
    [correction] = document("books", "statement", "--period", "2026-11")["corrections"]
    assert (correction["causes"], correction["revenue"]) == (["call call-9"], "16.00")
    [file] = segments("step")
    file.unlink()
    result = invoke("books", "verify")
    assert result.exit_code == 1
    assert file.name in result.output


@pytest.mark.slow
def test_a_period_that_becomes_large_keeps_its_revenue_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closed by the definition, restated by DuckDB: the correction takes nothing away from a region."""
    record([in_europe("call-5", 5)])
    run("books", "close", "2026-10")
    record([in_europe("call-9", 9)])
    assert revenue_by_region("2026-10") == {"(no region)": "24.00", "eu-west": "8.00"}
    assert revenue_by_region("2026-11") == {"eu-west": "8.00"}
    monkeypatch.setattr(engines, "MANY_FACTS", 8)
    assert revenue_by_region("2026-11") == {"(no region)": "8.00"}
    run("books", "close", "2026-11")
    told = run("books", "statement", "--period", "2026-11", "--by", "region").stdout
    assert "Note: revenue is not shown by region here" in told
    told = run("books", "statement", "--period", "2026-11", "--by", "customer").stdout
    assert "is not told" not in told


def in_europe(call_id: str, at_ns: int) -> Usage:
    """A call of a million input tokens, served in a region that is known."""
    tokens = Tokens(input=1_000_000)
    opened_ns = OCTOBER_NS + at_ns
    leg = replace(a_leg("replica-1", (opened_ns, opened_ns + 1), tokens), region="eu-west")
    return a_usage(call_id, opened_ns=opened_ns, tokens=tokens, legs=[leg])


def revenue_by_region(period: str) -> dict[str, str]:
    """Revenue of each region that earned something."""
    arguments = ("statement", "--period", period, "--by", "region")
    rows = document("books", *arguments)["regions"]
    return {row["region"]: row["revenue"] for row in rows if row["revenue"] != "0.00"}
