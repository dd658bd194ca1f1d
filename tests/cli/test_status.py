"""An operator's view of calls on the command line: status, top and logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.support.command_line import document, invoke, run

from inferworks.cli.calls import Arrivals
from inferworks.cli.main import main
from inferworks.cli.show import print_table
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Outcome, Tokens, Usage
from inferworks.testing.facts import make_usage
from inferworks.units import NS_PER_SECOND

SECOND_NS = NS_PER_SECOND


def calls() -> list[Usage]:
    """Calls of the last minute: two answered, one refused, one failed; one of yesterday; one reported."""
    now_ns = SystemClock().now_ns() - 10 * SECOND_NS
    answered = [
        make_usage(call_id=f"call_{n}", opened_ns=now_ns + n, model="small", tokens=Tokens(100, 20))
        for n in range(2)
    ]
    refused = make_usage(
        call_id="call_2", opened_ns=now_ns, model="smal", outcome=Outcome.REFUSED, tokens=Tokens(),
        customer="globex", legs=(),
    )  # fmt: skip
    failed = make_usage(
        call_id="call_3", opened_ns=now_ns, model="small", outcome=Outcome.FAILED, tokens=Tokens()
    )
    return [
        *answered,
        msgspec.structs.replace(refused, status=404, error_code="model_not_found"),
        msgspec.structs.replace(failed, status=502, error_code="upstream_failed"),
        make_usage(call_id="call_4", opened_ns=now_ns - 90_000 * SECOND_NS, model="small"),
        make_usage(call_id="elsewhere/1", opened_ns=now_ns, model="small"),
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A folder with these calls in its journal."""
    monkeypatch.chdir(tmp_path)
    data = DataFolder(Path("inferworks-data"))
    data.create()
    write(data, calls())
    return data


def write(data: DataFolder, usages: list[Usage]) -> None:
    """Put more calls into the journal."""
    store = SqliteStore(data.journal)
    store.open()
    store.write(usages)
    store.close()


def test_the_status_has_calls_tokens_latency_and_errors_by_model() -> None:
    """Of the last hour, in JSON and as a table within 80 columns that begins with words."""
    shown = json.loads(invoke("status", "--json").stdout)
    assert shown["calls"] == {"answered": 2, "failed": 1, "refused": 1}
    small = shown["models"]["small"]
    assert (small["calls"], small["input_tokens"], small["output_tokens"]) == (3, 200, 40)
    assert small["errors"] == {"upstream_failed": 1}
    assert small["duration_ms"]["p50"] == pytest.approx(300, rel=0.05)
    assert shown["models"]["smal"]["errors"] == {"model_not_found": 1}
    result = invoke("status")
    lines = result.stdout.splitlines()
    assert lines[0] == "state     not running"
    assert result.exit_code == 1
    assert all(len(line.rstrip()) <= 80 for line in lines), result.stdout
    assert all(line == "" or line.strip() for line in lines), "a line of spaces"
    (row,) = [line.split() for line in lines if line.startswith("small ")]
    assert row[:6] == ["small", "3", "0", "1", "200", "40"]


def test_the_status_sums_up_by_customer_or_key_too() -> None:
    """Use and spending of each customer or key are summed up without the books."""
    shown = json.loads(invoke("status", "--by", "customer", "--json").stdout)["customers"]
    assert {name: one["output_tokens"] for name, one in shown.items()} == {"acme": 40, "globex": 0}
    assert "KEY" in invoke("status", "--by", "key").stdout


def test_calls_that_were_sealed_are_counted_once() -> None:
    """The lake and the journal together are what was recorded, before and after sealing."""
    before = json.loads(invoke("status", "--since", "7d", "--json").stdout)["models"]
    assert before["small"]["calls"] == 4
    assert run("lake", "seal", "--all").exit_code == 0
    shown = json.loads(invoke("status", "--since", "7d", "--json").stdout)
    assert shown["models"] == before
    assert shown["lake"]["usage"] == len(calls())
    assert len(run("logs", "--since", "7d").stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], ["call_2", "call_3", "call_0", "call_1"]),
        (["--since", "2d"], ["call_4", "call_2", "call_3", "call_0", "call_1"]),
        (["-n", "1"], ["call_1"]),
        (["--model", "smal"], ["call_2"]),
        (["--customer", "globex"], ["call_2"]),
        (["--status", "5xx"], ["call_3"]),
        (["--status", "404"], ["call_2"]),
        (["--outcome", "refused"], ["call_2"]),
        (["--call", "call_3"], ["call_3"]),
        (["--model", "nothing"], []),
    ],
)
def test_logs_show_what_is_asked_for(arguments: list[str], ids: list[str]) -> None:
    """The newest last, as lines of the access log; a line for people has 80 columns."""
    lines = run("logs", "--json", *arguments).stdout.splitlines()
    assert sorted(json.loads(line)["call"] for line in lines) == sorted(ids)
    for line in run("logs", *arguments).stdout.splitlines():
        assert len(line) <= 80


def test_a_line_says_what_went_wrong() -> None:
    """In the short form the error stands where tokens and cost do."""
    shown = run("logs", "--status", "404").stdout
    assert " 404  300ms model_not_found " in shown
    assert shown.endswith("globex smal\n")
    assert "error=model_not_found" in run("logs", "--status", "404", "--long").stdout


def test_a_status_that_is_none_is_refused() -> None:
    """A usage error that says how to write one."""
    for status in ("bad", "9xx", "604", "4x", "40x", "044", "-1"):
        result = invoke("logs", f"--status={status}")
        assert result.exit_code == 2
        assert "write 404 or 4xx" in result.output
    assert run("logs", "--status", "0").exit_code == 0
    for call in ("nope", "key_019a2f", "call_xyz", ""):
        result = invoke("logs", "--call", call)
        assert result.exit_code == 2
        assert "write one like call_019a2f" in result.output
    run("customers", "create", "acme")
    with pytest.raises(UserError, match="no customer nobody; see: inferworks customers list"):
        run("logs", "--customer", "nobody")
    assert invoke("top", "--window", "soon").exit_code == 2


def test_an_empty_result_says_so() -> None:
    """In one line on standard error, with what was asked for; what is printed stays empty."""
    result = run("logs", "--json", "--model", "nothing", "--status", "4xx")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "no call of those with --model nothing --status 4xx has ended in the last day (--since)\n"
    )
    assert run("logs", "-n", "0").stderr == ""


def test_names_are_never_broken(folder: DataFolder) -> None:
    """A name stands whole on its line, however narrow the output is."""
    name = "anthropic/claude-sonnet-4-5-20250929"
    write(folder, [make_usage(call_id="call_9", opened_ns=SystemClock().now_ns(), model=name)])
    for command in (["status"], ["top"]):
        lines = invoke(*command).stdout.splitlines()
        assert [line.split()[1] for line in lines if line.startswith(name)] == ["1"]


def test_top_shows_the_last_minute_once_where_it_is_piped(folder: DataFolder) -> None:
    """The minute is cut by model or by anything else; a table without control characters."""
    result = invoke("top")
    assert "\x1b" not in result.stdout
    assert "inferworks top: 4.0 calls and 40 output tokens a minute" in result.stdout
    by_customer = document("top", "--by", "customer")["sums"]
    assert {name: one["calls"] for name, one in by_customer.items()} == {"acme": 3, "globex": 1}


def test_following_gives_each_call_once_as_it_ends(folder: DataFolder) -> None:
    """Calls that end later are given later, those that were sealed meanwhile do not hold it up."""
    arrivals = Arrivals(folder.journal)
    assert len(arrivals.new(100)) == 5
    assert arrivals.new(100) == []
    write(folder, [make_usage(call_id="call_5"), make_usage(call_id="call_6")])
    assert [usage.call_id for usage in arrivals.new(100)] == ["call_5", "call_6"]
    assert run("lake", "seal", "--all").exit_code == 0
    assert arrivals.new(100) == []
    write(folder, [make_usage(call_id="call_7")])
    assert [usage.call_id for usage in arrivals.new(100)] == ["call_7"]


@pytest.mark.slow
@pytest.mark.parametrize("command", [["logs", "-f"], ["top", "--every", "0.2"]])
def test_ctrl_c_ends_it_cleanly(command: list[str], folder: DataFolder) -> None:
    """In a terminal they go on until Ctrl-C, which ends them with status 0 and without a word."""
    parent, child = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "inferworks", *command],
        stdout=child, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(child)
    with process:
        assert os.read(parent, 1), "something is shown first"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    os.close(parent)
    assert (process.returncode, said) == (0, "")


def test_ids_are_never_broken() -> None:
    """Every id of a list stands whole on its line, whatever stands beside it."""
    customer = "a-customer-with-quite-a-long-name"
    run("customers", "create", customer)
    arguments = ("--customer", customer, "--name", "the machine under the desk")
    ids = [document("keys", "create", *arguments)["id"] for _ in range(3)]
    shown = run("keys", "list").stdout
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("key_")] == ids


def test_a_table_without_names_has_no_head(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line of such a table is its first row."""
    print_table(("", ""), [("name", "value"), ("id", "call_0123456789abcdef0123")])
    assert capsys.readouterr().out.splitlines()[0].split() == ["name", "value"]


@pytest.mark.parametrize(
    "command",
    ["providers list", "keys list", "logs", "status", "top", "config show",
     "books statement --period 2026-11", "books export json --period 2026-11",
     "customers list", "--help", "books --help", "keys list --help"],
)  # fmt: skip
def test_a_reader_that_has_gone_is_no_failure(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`inferworks ... | head` ends with status 0 and without a word, whatever is printed."""
    run("customers", "create", "acme")
    read, write_end = os.pipe()
    os.close(read)
    monkeypatch.setattr(sys, "argv", ["inferworks", *command.split()])
    with os.fdopen(write_end, "w", buffering=1) as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    assert capfd.readouterr().err == ""
