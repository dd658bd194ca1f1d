"""`inferworks top`: the calls of the last minute, once or as they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from tests.support.command_line import document, invoke, run
from tests.support.recorded_calls import write

from inferworks.cli.calls import Arrivals
from inferworks.folder import DataFolder
from inferworks.testing.facts import make_usage

pytestmark = pytest.mark.usefixtures("folder")


def test_top_shows_the_last_minute_once_where_it_is_piped(folder: DataFolder) -> None:
    """The minute is cut by model or by anything else; a table without control characters."""
    result = invoke("top")
    assert "\x1b" not in result.stdout
    assert "inferworks top: 4.0 calls and 40 output tokens a minute" in result.stdout
    by_customer = document("top", "--by", "customer")["sums"]
    assert {name: one["calls"] for name, one in by_customer.items()} == {"acme": 3, "globex": 1}


def test_following_gives_each_call_once_as_it_ends(folder: DataFolder) -> None:
    """Calls that end later are given later, those that were sealed meanwhile do not hold it up."""
    arrivals = Arrivals(folder)
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
