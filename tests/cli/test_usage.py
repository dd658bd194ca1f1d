"""`inferworks usage import` and the examples of docs/costs-in.md: exactly once, here or at a gateway."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.support.command_line import document, invoke, run

from inferworks.accounts.key import Grant, mint
from inferworks.books.bills.base import no_progress, open_bill
from inferworks.books.bills.reports import read_reports
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.clock import SimClock
from inferworks.cloud.providers.stub import StubProvider
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.activity import Received
from inferworks.meter.capacity import Activity
from inferworks.meter.events import envelope
from inferworks.meter.facts import Facts
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Quarantined
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import open_gateway_over
from inferworks.units import Unit
from inferworks.wiring import usage_reports
from inferworks.wiring.usage_reports import record_usage

DOCUMENT = Path(__file__).parents[2] / "docs" / "costs-in.md"
EXAMPLE = re.compile(r"<!-- (file|usage) (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
CALLS = """\
id,provider,model,customer,purpose,start,end,input_tokens,output_tokens
1,openai,gpt-5,acme,serve-paid,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,812,96
2,openai,gpt-5,acme,serve-free,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,10,5
"""
JOBS = """\
source,id,node,purpose,start,end,seconds
slurm,1,gpu-3,train-gradient,2026-11-21T00:00:00Z,2026-11-21T01:00:00Z,1800.5
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own, with no key around."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFERWORKS_API_KEY", raising=False)


def imported(name: str, text: str, *options: str) -> dict[str, Any]:
    """Counts of the import of a file with `text`."""
    Path(name).write_text(text)
    result = invoke("usage", "import", name, "--json", *options)
    (file,) = json.loads(result.stdout)["files"]
    counts = {key: file[key] for key in ("accepted", "duplicate", "conflict", "rejected")}
    assert file["received"] == sum(counts.values())
    return counts


def counts(accepted: int = 0, duplicate: int = 0, conflict: int = 0, rejected: int = 0) -> Any:
    """Counts as the command prints them."""
    return {
        "accepted": accepted,
        "duplicate": duplicate,
        "conflict": conflict,
        "rejected": rejected,
    }


def facts() -> Facts:
    """Facts in the journal."""
    with JournalReader(DataFolder(Path("inferworks-data")).journal) as reader:
        return reader.facts(0, 2**62)


def quarantined() -> list[Quarantined]:
    """Records in quarantine."""
    with JournalReader(DataFolder(Path("inferworks-data")).journal) as reader:
        return list(reader.quarantined())


def examples(kind: str) -> Iterator[tuple[str, str]]:
    """Name and text of each example of a kind in the document."""
    for found, name, text in EXAMPLE.findall(DOCUMENT.read_text(encoding="utf-8")):
        if found == kind:
            yield name, text


def test_every_example_of_the_document_is_taken_in() -> None:
    """All files in one command; again they are all duplicates, and nothing is added."""
    names = []
    for name, text in examples("file"):
        Path(name).write_text(text)
        names.append(name)
    assert len(names) == 7
    first = run("books", "import", "--json", *reversed(names))
    files = json.loads(first.stdout)["files"]
    assert {file["kind"] for file in files} == {
        "rates", "focus", "timesheet", "payroll", "depreciation", "voucher", "storage",
    }  # fmt: skip
    assert all(file["received"] == file["accepted"] > 0 for file in files)
    focus = next(file for file in files if file["kind"] == "focus")
    assert focus["amount"] == "7551.788"  # 7300.00 - 12.50 + 240.00 EUR at 1.1012
    again = document("books", "import", *names)["files"]
    assert all(file["received"] == file["duplicate"] > 0 for file in again)


def test_every_usage_example_of_the_document_is_taken_in() -> None:
    """Calls, machine time and CloudEvents."""
    for name, text in examples("usage"):
        found = imported(name, text)
        assert found["accepted"] > 0
        assert imported(name, text) == counts(duplicate=found["accepted"])
    found_facts = facts()
    assert [usage.call_id for usage in found_facts.usages] == [
        "gateway-b/req-17",
        "gateway-b/req-18",
    ]
    assert found_facts.usages[0].tokens.cache_read == 512
    assert [activity.id for activity in found_facts.activities] == ["job-4711", "run-12/epoch-3"]


def test_a_call_of_another_gateway_becomes_a_usage() -> None:
    """With the leg that served it, so that the provider's bill and the customer's plan find it."""
    assert imported("calls.csv", CALLS, "--source", "b") == counts(accepted=2)
    first, second = facts().usages
    assert (first.call_id, first.customer, first.purpose, first.tokens.input) == (
        "b/1", "acme", "serve-paid", 812,
    )  # fmt: skip
    assert (first.legs[0].provider, first.legs[0].replica) == ("openai", None)
    assert second.purpose == "serve-free"
    assert first.closed_ns - first.opened_ns == 4 * 10**9


def test_machine_time_and_storage() -> None:
    """Seconds on a node; bytes times the time they were held."""
    assert imported("jobs.csv", JOBS) == counts(accepted=1)
    held = "bucket,purpose,start,end,bytes\nb,evaluate,2026-11-01,2026-11-02,7\n"
    assert imported("held.csv", held) == counts(accepted=1)
    (job, stored) = facts().activities
    assert (job.unit, job.quantity, job.resource) == (Unit.NODE_NS, 1800_500_000_000, "gpu-3")
    assert (stored.unit, stored.quantity) == (Unit.BYTE_SECONDS, 7 * 86_400)


def test_storage_of_any_size_that_there_is() -> None:
    """An exabyte for a month is one row, however it is written; more is one that cannot be meant."""
    month_s, head = 30 * 86_400, "bucket,purpose,start,end,bytes,byte_seconds\n"
    row = "b{},evaluate,2026-11-01,2026-12-01,{},{}\n"
    sizes = [3_558_000_000_000, 3_559_000_000_000, 10**18]
    rows = [row.format(n, size, "") for n, size in enumerate(sizes)]
    rows.append(row.format("s", "", 10**18 * month_s))
    assert imported("held.csv", head + "".join(rows)) == counts(accepted=4)
    assert imported("held.csv", head + "".join(rows)) == counts(duplicate=4)
    found = sorted(activity.quantity for activity in facts().activities)
    assert found == [*(size * month_s for size in sizes), 10**18 * month_s]
    lines = "".join(
        msgspec.json.encode(envelope(activity)).decode() + "\n" for activity in facts().activities
    )
    assert imported("events.jsonl", lines) == counts(duplicate=4)
    Path("more.csv").write_text(head + row.format("m", 10**18 + 1, ""))
    assert "more than an exabyte" in str(invoke("usage", "import", "more.csv").exception)


def test_parquet_and_json_lines_are_the_same_rows() -> None:
    """A row makes the same report, whatever file format carried it."""
    assert imported("calls.csv", CALLS) == counts(accepted=2)
    header, *rows = [line.split(",") for line in CALLS.splitlines()]
    columns = {name: [row[n] for row in rows] for n, name in enumerate(header)}
    columns["input_tokens"] = [int(text) for text in columns["input_tokens"]]  # type: ignore[misc]
    parquet.write_table(pa.table(columns), "calls.parquet")
    result = invoke("usage", "import", "calls.parquet", "--json")
    assert json.loads(result.stdout)["files"][0]["duplicate"] == 2
    lines = "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows)
    assert imported("calls.jsonl", lines) == counts(duplicate=2)


def test_a_conflict_is_quarantined_with_both_bodies_and_said() -> None:
    """The first stands; the command fails, so that somebody looks."""
    imported("calls.csv", CALLS)
    Path("other.csv").write_text(CALLS.replace("812", "813"))
    result = invoke("usage", "import", "other.csv")
    assert isinstance(result.exception, UserError)
    assert "1 row is on record already" in str(result.exception)
    assert [usage.tokens.input for usage in facts().usages] == [812, 10]
    (kept,) = quarantined()
    assert '"input":813' in kept.body
    assert kept.existing is not None
    assert '"input":812' in kept.existing


BAD = """\
id,node,purpose,start,end,seconds
1,gpu-3,fun,2026-11-21,2026-11-22,1
2,,evaluate,2026-11-21,2026-11-22,1
3,gpu-3,evaluate,2026-11-22,2026-11-21,1
4,gpu-3,evaluate,2026-11-21,2026-11-22,-1
5,gpu-3,evaluate,1969-01-01,2026-11-22,1
,gpu-3,evaluate,2026-11-21,2026-11-22,1
7,gpu-3,evaluate,2026-11-21,2026-11-22,0.0000000001
8,gpu-3,evaluate,2026-11-21,2026-11-22,1
"""


def test_a_file_with_bad_rows_is_refused_whole() -> None:
    """Every bad row is named; nothing of the file is counted, unless asked for."""
    Path("bad.csv").write_text(BAD)
    result = invoke("usage", "import", "bad.csv")
    assert isinstance(result.exception, UserError)
    lines = str(result.exception).splitlines()
    named = {re.match(r"bad.csv, line (\d), column (\w+)", line).groups() for line in lines}  # type: ignore[union-attr]
    assert named >= {
        ("2", "purpose"), ("3", "node"), ("4", "end"), ("5", "seconds"), ("6", "start"),
        ("7", "id"), ("8", "seconds"),
    }  # fmt: skip
    assert not Path("inferworks-data/journal.db").exists()
    assert imported("bad.csv", BAD, "--skip-bad") == counts(accepted=1, rejected=7)
    assert [activity.id for activity in facts().activities] == ["8"]


def test_a_file_without_rows_is_noted() -> None:
    """A file without rows is no error, but noted: it is often an export that went wrong."""
    heads = {
        "calls.csv": (CALLS.splitlines()[0], "usage"),
        "jobs.csv": (JOBS.splitlines()[0], "books"),
        "bill.csv": (
            "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName",
            "books",
        ),
    }
    for name, (head, command) in heads.items():
        Path(name).write_text(f"{head}\n")
        done = document(command, "import", name)
        assert done["notes"] == [
            f"{name}: it names its columns and has no rows; was it exported whole?"
        ]


@pytest.mark.parametrize("command", ["usage", "books"])
def test_what_begins_after_tomorrow_is_refused(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command refuses work that begins after tomorrow, as seen from anywhere on earth."""
    clock = SimClock(parse_moment_ns("2026-11-19T23:00:00Z"))
    for module in ("wiring.usage_import", "wiring.books"):
        monkeypatch.setattr(f"inferworks.{module}.SystemClock", lambda: clock)
    Path("calls.csv").write_text(CALLS)
    refused = str(invoke(command, "import", "calls.csv").exception)
    assert (
        "calls.csv, line 2, column start: '2026-11-21T09:00:00Z': begins after tomorrow" in refused
    )
    clock.set(clock.now_ns() + 3600 * 10**9)
    run(command, "import", "calls.csv")


def test_a_file_of_no_known_kind() -> None:
    """One line that says which there are."""
    Path("odd.csv").write_text("a,b\n1,2\n")
    result = invoke("usage", "import", "odd.csv")
    assert "odd.csv: neither calls" in str(result.exception)


def test_while_the_platform_runs_the_rows_go_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches, with the key of the environment; without one, a line that says what to do."""
    folder = DataFolder(Path("inferworks-data"))
    seen: list[tuple[str, str, Any]] = []

    def send(body: bytes, url: str, key: str) -> dict[str, int]:
        events = json.loads(body)
        seen.append((url, key, events))
        return {"accepted": len(events), "duplicate": 0, "conflict": 0}

    monkeypatch.setattr(usage_reports, "send", send)
    monkeypatch.setattr(usage_reports, "_BATCH", 1)
    Path("calls.csv").write_text(CALLS)
    with folder.hold():
        assert "is starting" in str(invoke("usage", "import", "calls.csv").exception)
        folder.tell("http://127.0.0.1:9/v1")
        assert "keys create --report" in str(invoke("usage", "import", "calls.csv").exception)
        monkeypatch.setenv("INFERWORKS_API_KEY", "iw_x")
        assert imported("calls.csv", CALLS) == counts(accepted=2)
    assert [(url, key, events[0]["id"]) for url, key, events in seen] == [
        ("http://127.0.0.1:9/v1", "iw_x", "1"),
        ("http://127.0.0.1:9/v1", "iw_x", "2"),
    ]
    assert not folder.journal.exists()


def test_a_real_gateway_takes_the_rows_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over its own door, with a key that may report: the same facts, each once."""
    folder = DataFolder(Path("inferworks-data"))
    Path("calls.csv").write_text(CALLS)
    reports, problems = read_reports(open_bill(Path("calls.csv")), "b", no_progress)
    assert problems == []

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            grant = Grant(reporter=True, sources=("b",), tells_cost=True)
            key, secret = mint(CustomerId("acme"), 1, grant, pepper=A_PEPPER)
            gateway.accounts.add_key(key)
            gateway.context.keyring.refresh()
            monkeypatch.setenv("INFERWORKS_API_KEY", secret)
            with folder.hold():
                folder.tell(gateway.url)
                first = await asyncio.to_thread(record_usage, reports, folder)
                again = await asyncio.to_thread(record_usage, reports, folder)
            assert (first, again) == (Received(2, 2, 0, 0), Received(2, 0, 2, 0))
            assert await gateway.usages() == reports

    asyncio.run(main())


def test_what_an_activity_says_is_what_was_reported() -> None:
    """Without seconds, a node was occupied all of the span."""
    imported("jobs.csv", JOBS.replace(",1800.5", ","))
    (job,) = facts().activities
    assert isinstance(job, Activity)
    assert (job.source, job.quantity) == ("slurm", 3600 * 10**9)


def test_a_key_may_be_made_to_report() -> None:
    """`--reporter` is kept with the key; no other key has the right."""
    run("keys", "create", "--reporter", "--name", "gateway-b")
    run("keys", "create")
    listed = document("keys", "list")
    assert sorted(key["reporter"] for key in listed) == [False, True]
