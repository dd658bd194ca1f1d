"""`inferworks status`: calls, tokens, latency and errors of the last hour."""

from __future__ import annotations

import json
import os
import sys

import pytest
from tests.support.command_line import document, invoke, run
from tests.support.recorded_calls import calls, write

from inferworks.cli.main import main
from inferworks.cli.show import print_table
from inferworks.clock import SystemClock
from inferworks.folder import DataFolder
from inferworks.testing.facts import make_usage

pytestmark = pytest.mark.usefixtures("folder")


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


def test_names_are_never_broken(folder: DataFolder) -> None:
    """A name stands whole on its line, however narrow the output is."""
    name = "anthropic/claude-sonnet-4-5-20250929"
    write(folder, [make_usage(call_id="call_9", opened_ns=SystemClock().now_ns(), model=name)])
    for command in (["status"], ["top"]):
        lines = invoke(*command).stdout.splitlines()
        assert [line.split()[1] for line in lines if line.startswith(name)] == ["1"]


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
