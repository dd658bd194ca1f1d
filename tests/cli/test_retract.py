"""`inferworks usage retract` and `list`: what was reported is taken back, once, and on record."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.command_line import document, invoke, run

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cloud.providers.stub import StubProvider
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.testing.in_process_gateway import open_gateway_over

pytestmark = pytest.mark.slow

HEADER = "source,id,provider,model,customer,purpose,start,end,input_tokens,told_cost"
ROWS = {
    "1": "b,1,openai,gpt-5,acme,serve-paid,2026-10-08T09:00:00Z,2026-10-08T09:00:04Z,1000000,5.00",
    "2": "b,2,openai,gpt-5,acme,serve-paid,2026-10-09T09:00:00Z,2026-10-09T09:00:04Z,3000000,7.00",
    "3": "c,1,openai,gpt-5,acme,serve-paid,2026-10-09T09:00:00Z,2026-10-09T09:00:04Z,7000000,9.00",
}
JOBS = """\
source,id,node,purpose,start,end
b,1j,node-1,train-gradient,2026-10-08T00:00:00Z,2026-10-08T00:00:05Z
"""
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-10-08T00:00:00Z,2026-10-08T00:00:10Z,A Cloud,Compute,node-1
"""
OCTOBER = ("--from", "2026-10-01", "--to", "2026-11-01")


def world(path: Path, monkeypatch: pytest.MonkeyPatch, *rows: str, jobs: bool = True) -> None:
    """Work in a new folder at `path`, in which `rows` were reported, with a price and a bill."""
    path.mkdir()
    monkeypatch.chdir(path)
    folder = DataFolder(Path("inferworks-data"))
    folder.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, 0, "USD", "2.00", "6.00")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(acme, 0), plan)
    Path("calls.csv").write_text("\n".join([HEADER, *(ROWS[row] for row in rows)]))
    Path("jobs.csv").write_text(JOBS)
    names = ["calls.csv"] if rows else []
    run("usage", "import", *names, *(["jobs.csv"] if jobs else []))
    Path("bill.csv").write_text(BILL)
    run("books", "import", "bill.csv")


def figures(*options: str) -> list[Any]:
    """Statements of October, by customer and by purpose, less their notes."""
    shown = [
        document("books", "statement", "--by", name, *OCTOBER, *options)
        for name in ("customer", "purpose")
    ]
    return [{name: value for name, value in one.items() if name != "notes"} for one in shown]


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_taken_back_counts_as_never_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    """In every statement, by either engine, in the lake or out of it; and it cannot come in again."""
    world(tmp_path / "never", monkeypatch, "2", "3", jobs=False)
    wanted = figures()
    world(tmp_path / "taken", monkeypatch, "1", "2", "3")
    before = figures()
    if sealed:
        run("lake", "seal", "--before", "2026-10-09")
    done = document(
        "usage", "retract", "--source", "b", "--id", "1", "--id", "1j", "--reason", "a test"
    )
    assert done == {"retracted": 2, "before": 0, "notes": []}
    assert figures() == figures("--engine", "duckdb") == wanted
    assert before != wanted
    again = document("usage", "retract", "--source", "b", "--until", "2026-10-09", "--reason", "x")
    assert again == {"retracted": 0, "before": 2, "notes": []}
    (file,) = document("usage", "import", "calls.csv")["files"]
    assert (file["accepted"], file["duplicate"]) == (0, 3)
    assert figures() == wanted
    if not sealed:
        run("lake", "seal", "--before", "2026-10-10")
        assert figures() == figures("--engine", "duckdb") == wanted


def test_what_is_taken_back_of_a_closed_period_corrects_the_open_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sealed figures stay; the correction takes them to what they would have been."""
    world(tmp_path / "never", monkeypatch, "2", "3")
    [wanted, _] = figures()
    world(tmp_path / "taken", monkeypatch, "1", "2", "3")
    run("lake", "seal", "--before", "2026-10-09")
    closed = document("books", "close", "2026-10")
    assert closed["revenue"] == "22.00"
    done = document("usage", "retract", "--source", "b", "--id", "1", "--reason", "a test")
    assert done["notes"] == ["1 line is for 2026-10, which is closed: it corrects 2026-11"]
    shown = document("books", "statement", "--period", "2026-10")
    assert shown["statement"]["revenue"] == "22.00"
    (correction,) = document("books", "statement", "--period", "2026-11")["corrections"]
    assert correction["revenue"] == "-2.00"
    assert correction["causes"] == ["retraction b/1"]
    assert wanted["statement"]["revenue"] == "20.00"
    assert document("books", "verify")["sound"]
    run("books", "close", "2026-11")
    assert document("books", "verify")["sound"]
    assert document("books", "statement", "--period", "2026-12")["corrections"] == []


def test_what_was_never_reported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is taken back with a report that never was."""
    world(tmp_path / "world", monkeypatch, "1", "2", "3")
    for asked in (("b", "--id", "1", "--id", "9"), ("nobody", "--all")):
        result = invoke("usage", "retract", "--reason", "x", "--source", *asked)
        assert "never reported" in str(result.exception)
    assert invoke("usage", "retract", "--source", "b", "--reason", "x").exit_code == 2
    for which in (("--id", "1"), ("--since", "2020-01-01"), ("--until", "2030-01-01")):
        asked = ("--source", "b", "--reason", "x", "--all", *which)
        assert invoke("usage", "retract", *asked).exit_code == 2
    assert invoke("usage", "retract", "--source", "b", "--all", "--reason", " ").exit_code == 2
    assert [one["retracted"] for one in document("usage", "list")] == [0, 0]


def test_what_was_reported_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports are listed by source, one by one, with author and reason of each withdrawal."""
    world(tmp_path / "world", monkeypatch, "1", "2", "3")
    assert (
        invoke("usage", "retract", "--source", "b", "--id", "2", "--reason", "wrong").exit_code == 0
    )
    listed = document("usage", "list")
    assert [(one["source"], one["reports"], one["retracted"]) for one in listed] == [
        ("b", 3, 1),
        ("c", 1, 0),
    ]
    assert listed[0]["first"] == "2026-10-08 00:00:00"
    reports = document("usage", "list", "--source", "b")
    assert {one["id"]: one["kind"] for one in reports} == {
        "1": "call",
        "2": "call",
        "1j": "activity",
    }
    (taken,) = [one["retracted"] for one in reports if one["retracted"]]
    assert (taken["id"], taken["reason"]) == ("2", "wrong")
    assert "wrong" in invoke("usage", "list", "--source", "b").stdout
    assert "b " in invoke("usage", "list").stdout


def test_a_running_gateway_takes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over its own door, with a key of the source; each once, and all of a batch or none of it."""
    world(tmp_path / "world", monkeypatch, "1", "2", "3")
    folder = DataFolder(Path("inferworks-data"))

    def events(*ids: str, kind: str = "retraction") -> bytes:
        return msgspec.json.encode(
            [
                {"specversion": "1.0", "type": f"inferworks.{kind}", "source": "b", "id": id_,
                 "data": {"reason": "a test"}}
                for id_ in ids
            ]
        )  # fmt: skip

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            _, secret = gateway.new_key(sources=("b",))
            with folder.hold():
                folder.tell(gateway.url)
                monkeypatch.setenv("INFERWORKS_API_KEY", secret)
                retract = ("usage", "retract", "--source", "b", "--id", "1", "--reason", "x")
                assert "Nothing was reported as '1'" in str(
                    (await asyncio.to_thread(invoke, *retract)).exception
                )
                now_ns = gateway.context.clock.now_ns()
                call = {"provider": "p", "model": "m", "start_ns": now_ns, "end_ns": now_ns}
                sent = [
                    {**msgspec.json.decode(events(id_, kind="call"))[0], "data": call}
                    for id_ in ("1", "2")
                ]
                body = msgspec.json.encode(sent)
                path = "/v1/usage/events"
                assert (await gateway.ask("POST", path, body, secret=secret)).status == 200
                for _ in range(2):
                    assert (await asyncio.to_thread(invoke, *retract)).exit_code == 0
                answer = await gateway.ask("POST", path, events("2", "9"), secret=secret)
                assert (answer.status, answer.json["error"]["code"]) == (400, "unknown_report")
                answer = await gateway.ask("POST", path, events("1", "2"), secret=secret)
                assert (answer.json["accepted"], answer.json["duplicate"]) == (1, 1)
                mixed = msgspec.json.encode([sent[0], msgspec.json.decode(events("1"))[0]])
                assert (await gateway.ask("POST", path, mixed, secret=secret)).status == 400
                _, other = gateway.new_key(customer=CustomerId("burns"), sources=("c",))
                assert (await gateway.ask("POST", path, events("1"), secret=other)).status == 403
                assert (await gateway.ask("POST", path, body, secret=secret)).json["duplicate"] == 2
            with gateway.store.reads() as reads:
                assert [one.id for one in reads.retracted(0, 2**62)] == ["1", "2"]

    asyncio.run(main())
