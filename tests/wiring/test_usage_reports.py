"""Reports that go to the running gateway in batches, or straight into the journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferworks.errors import UpstreamError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.activity import Received
from inferworks.wiring import usage_reports
from inferworks.wiring.usage_reports import record_usage, retract_usage

URL = "http://127.0.0.1:9/v1"
BATCH = 1000
"""Most events in one request."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with nothing in it."""
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def running(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFolder]:
    """A folder that a gateway holds, and a key for it."""
    monkeypatch.setitem(os.environ, "INFERWORKS_API_KEY", "iw_x")
    with folder.hold():
        folder.tell(URL)
        yield folder


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """The batches that were sent; of each the first event is accepted and the rest are duplicates."""
    batches: list[list[dict[str, Any]]] = []

    def send(body: bytes, url: str, key: str) -> dict[str, int]:
        assert (url, key) == (URL, "iw_x")
        batches.append(json.loads(body))
        return {"accepted": 1, "duplicate": len(batches[-1]) - 1, "conflict": 0}

    monkeypatch.setattr(usage_reports, "send", send)
    return batches


@pytest.mark.parametrize(
    ("events", "batches"),
    [
        (0, []),
        (1, [1]),
        (BATCH, [BATCH]),
        (BATCH + 1, [BATCH, 1]),
        (2 * BATCH + 1, [BATCH, BATCH, 1]),
    ],
)
def test_a_running_gateway_is_sent_batches(
    events: int, batches: list[int], running: DataFolder, sent: list[list[dict[str, Any]]]
) -> None:
    """A thousand events at most in each, in order; counts are those of all together."""
    names = [("b", str(number)) for number in range(events)]
    taken = retract_usage(names, "sent by a test", running)
    assert [len(batch) for batch in sent] == batches
    assert taken == Received(events, len(batches), events - len(batches), 0)
    told = [event for batch in sent for event in batch]
    assert len(told) == events
    assert all(name[1] in json.dumps(event) for name, event in zip(names, told, strict=True))
    assert not running.journal.exists(), "the gateway alone writes its journal"


def test_a_gateway_that_starts_is_asked_to_be_waited_for(
    folder: DataFolder, sent: list[list[dict[str, Any]]]
) -> None:
    """A starting gateway has no address yet."""
    with folder.hold(), pytest.raises(UserError) as refused:
        record_usage([], folder)
    assert str(refused.value) == "the platform is starting; try again in a moment"
    assert sent == []


def test_a_running_gateway_needs_a_key(
    running: DataFolder, monkeypatch: pytest.MonkeyPatch, sent: list[list[dict[str, Any]]]
) -> None:
    """The variable is named, and how a key is made."""
    monkeypatch.delitem(os.environ, "INFERWORKS_API_KEY")
    with pytest.raises(UserError) as refused:
        retract_usage([("b", "1")], "why", running)
    assert str(refused.value) == (
        f"the platform is running at {URL}: set INFERWORKS_API_KEY to a key that may report "
        "(inferworks keys create --report SOURCE), or stop it"
    )
    assert sent == []


def test_a_refusal_says_that_it_can_be_done_again(
    running: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counts twice, so the whole is sent again once the cause is corrected."""

    def send(*_: object) -> dict[str, int]:
        raise UpstreamError("no such customer", sent=True)

    monkeypatch.setattr(usage_reports, "send", send)
    with pytest.raises(UserError) as refused:
        retract_usage([("b", "1")], "why", running)
    assert str(refused.value) == (
        "no such customer; correct that and try again: nothing is retracted twice"
    )


def test_without_a_gateway_the_journal_is_written_here(folder: DataFolder) -> None:
    """The folder is held meanwhile, and free again afterwards."""
    assert record_usage([], folder) == Received(0, 0, 0, 0)
    assert folder.journal.exists()
    assert folder.instance() is None
    assert retract_usage([], "why", folder) == Received(0, 0, 0, 0)
