"""`inferworks ship`, and keys for nodes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, refusal, run

from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_usage


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose journal ships, with two pieces to ship, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERWORKS_ENGINE_NODE", "edge-7")
    folder = tmp_path / "inferworks-data"
    folder.mkdir(mode=0o700)
    with closing(SqliteStore(folder / "journal.db", ships_as="edge-7")) as store:
        store.open()
        store.write([make_usage()])
        store.write([make_usage(call_id="call_2")])
    return folder


def test_status_says_what_waits(data: Path) -> None:
    """For people and for programs."""
    found = document("ship", "status")
    assert found["received"] == []
    ships = found["ships"]
    assert (ships["node"], ships["waiting"], ships["acknowledged_at"]) == ("edge-7", 2, None)
    shown = run("ship", "status").output
    assert "JOURNAL     RUN " in shown
    assert f"journal.db  {ships['run'][:8]}" in shown
    assert "none is set (ship.url)" in shown
    with Outbox(data / "journal.db") as outbox:
        outbox.acknowledge(1, 10**18, 10**18)
    assert document("ship", "status")["ships"]["acknowledged_at"] == "2001-09-09T01:46:40+00:00"


def test_a_folder_that_ships_nothing(tmp_path: Path) -> None:
    """A folder without a journal, or whose journal never began to ship, ships nothing."""
    assert document("ship", "status", "--data", tmp_path)["ships"] is None
    with closing(SqliteStore(tmp_path / "journal.db")) as store:
        store.open()
    assert "ships nothing" in run("ship", "status", "--data", tmp_path).output
    assert "does not ship" in refusal("ship", "restart", "--data", tmp_path)


def test_restart_begins_a_run(data: Path) -> None:
    """A new run begins behind what the hub has acknowledged."""
    before = document("ship", "status")["ships"]["run"]
    with Outbox(data / "journal.db") as outbox:
        outbox.acknowledge(1, 10**18, 10**18)
    assert "1 piece to ship" in run("ship", "restart").output
    ships = document("ship", "status")["ships"]
    assert ships["run"] != before
    assert (ships["acknowledged"], ships["waiting"]) == (1, 1)


def test_end_gives_nothing_up_unasked(data: Path) -> None:
    """Records that the hub has not acknowledged are discarded only on demand."""
    assert "has not acknowledged 2 pieces" in refusal("ship", "end")
    assert "ships nothing" in run("ship", "end", "--discard").output
    assert document("ship", "status")["ships"] is None
    assert data.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ship", "a b"], "no name of a node"),
        (["--ship", "edge-7", "--monitor"], "may do nothing else"),
        (["--ship", "edge-7", "--report", "x"], "may do nothing else"),
        (["--report", "node:edge-7"], "are of nodes: --ship"),
    ],
)
def test_a_key_of_a_node_is_for_that_alone(data: Path, options: list[str], words: str) -> None:
    """A key either ships as a node, or does anything else."""
    assert words in refusal("keys", "create", *options, "--data", data)


def test_the_list_of_keys_says_so(data: Path) -> None:
    """A key that ships is shown as one."""
    run("keys", "create", "--ship", "edge-7", "--data", data)
    assert "(shipping only)" in run("keys", "list").output
