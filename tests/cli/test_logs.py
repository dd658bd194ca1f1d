"""`inferworks logs`: an operator's view of single calls."""

from __future__ import annotations

import json

import pytest
from tests.support.command_line import invoke, run

from inferworks.errors import UserError

pytestmark = pytest.mark.usefixtures("folder")


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
