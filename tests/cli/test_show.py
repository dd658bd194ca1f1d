"""Nothing from outside reaches a terminal or the log as it came; JSON says it exactly."""

from __future__ import annotations

import ast
import json
import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import invoke, run

from inferworks.cli.show import print_columns
from inferworks.log import VisibleFormatter

CLI = Path(__file__).parents[2] / "src" / "inferworks" / "cli"
HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202eeman\u200b\r\n[/b][link=http://x]\x9b1m"
START, END = "2026-11-01T00:00:00Z", "2026-11-01T00:00:05Z"
SPAN = ("--from", "2026-11-01", "--to", "2026-12-01")
DIMENSIONS = (
    "customer",
    "project",
    "key",
    "model",
    "provider",
    "region",
    "pool",
    "chip",
    "purpose",
    "day",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def harmful(text: str) -> set[str]:
    """Characters of `text` that a terminal would not show as they are."""
    return {c for c in text if c != "\n" and unicodedata.category(c) in HARMFUL}


def lines_of_hostile_names() -> None:
    """Have calls and costs on record in which every name is hostile."""
    data = {
        "provider": HOSTILE, "model": HOSTILE, "customer": HOSTILE, "project": HOSTILE, "region": HOSTILE,
        "purpose": "serve-paid", "start_ns": 1793491200 * 10**9, "end_ns": 1793491205 * 10**9,
        "input_tokens": 10**6, "told_cost_pico": 10**12,
    }  # fmt: skip
    event = {
        "specversion": "1.0",
        "type": "inferworks.call",
        "source": HOSTILE,
        "id": HOSTILE,
        "data": data,
    }
    again = {**event, "data": {**data, "input_tokens": 7}}
    Path("calls.jsonl").write_text(f"{json.dumps(event)}\n{json.dumps(again)}\n")
    Path("bill.csv").write_text(
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceName,"
        "ServiceCategory,ResourceId,ChargeDescription\n"
        f'10.00,USD,{START},2026-12-01T00:00:00Z,"{HOSTILE}","{HOSTILE}",Databases,"{HOSTILE}",'
        f'"{HOSTILE}"\n'
    )
    assert "on record already" in str(invoke("usage", "import", "calls.jsonl").exception)
    run("books", "import", "bill.csv")
    run("keys", "create", "--name", HOSTILE, "--project", HOSTILE)


@pytest.mark.slow
def test_no_command_hands_on_what_a_terminal_obeys() -> None:
    """Every table, line, note and error of a world in which every name is hostile."""
    lines_of_hostile_names()
    shown = [
        invoke("keys", "list"),
        invoke("books", "statement", *SPAN),
        *(invoke("books", "statement", "--by", name, *SPAN) for name in DIMENSIONS),
        *(invoke("books", "explain", f"{name}:{HOSTILE}", *SPAN) for name in DIMENSIONS[2:5]),
        invoke("books", "explain", f"call:{HOSTILE}", *SPAN),
        invoke("books", "close", "2026-11"),
        invoke("books", "statement", "--period", HOSTILE),
        invoke("books", "statement", "--by", HOSTILE),
        invoke("books", "import", HOSTILE),
        invoke("usage", "import", HOSTILE),
        invoke("customers", "create", HOSTILE),
        invoke("keys", "revoke", HOSTILE),
        invoke("config", "show", "--config", f"{HOSTILE}.toml"),
        invoke("config", "show"),
        invoke("status"),
    ]
    together = ""
    for result in shown:
        assert harmful(result.output) == set(), result.output
        together += result.output
    assert r"\x1b]0;pwned" in together


def test_json_is_exact() -> None:
    """JSON that is read again is what was recorded, and a terminal may show it."""
    lines_of_hostile_names()
    for arguments in (
        ("keys", "list"), ("books", "statement", "--by", "model", *SPAN),
        ("books", "explain", f"model:{HOSTILE}", *SPAN),
    ):  # fmt: skip
        result = run(*arguments, "--json")
        assert harmful(result.stdout) == set()
        assert any(HOSTILE in text for text in strings(json.loads(result.stdout))), arguments


def strings(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def test_the_log_is_of_lines_that_can_be_seen() -> None:
    """A record is one line; a traceback after it has its lines, and they can be seen too."""
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        caught = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.WARNING, "", 1, "lost %s", (HOSTILE,), caught)
    first, *more = VisibleFormatter().format(record).split("\n")
    assert first.endswith(r"\r\n[/b][link=http://x]\x9b1m")
    assert more[0] == "Traceback (most recent call last):"
    assert harmful("".join([first, *more])) == set()


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(CLI.rglob("*.py")), ids=lambda path: path.stem)
def test_commands_speak_through_one_module(path: Path) -> None:
    """No other module of the command line writes to a stream, but for the bytes of an export."""
    if path == CLI / "show.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not {
        name
        for name in called
        if name in ("click.echo", "click.secho", "print", "Console", "Table.add_row")
    }


def test_a_line_of_a_table_ends_with_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    """No blanks after it, which a file or a mail would keep; columns may share a name."""
    print_columns([("A", "left"), ("A", "right"), ("B", "left")], [("x", "1", ""), ("", "22", "y")])
    assert capsys.readouterr().out == "A   A  B\nx   1\n   22  y\n"
