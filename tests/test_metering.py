"""The `metered` helper: measures a block, reports it, and counts it once however the network behaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from inferworks import metering
from inferworks.cli.main import cli
from inferworks.errors import UpstreamError, UserError
from inferworks.metering import ActivityEvent, metered, report

EVENT = ActivityEvent("a-source", "an-id", "gpu-3", "train-gradient", 10, 30, 20, "node_ns")
ACCEPTED = b'{"accepted":1,"duplicate":0,"conflict":0}'
DROP, FAIL, REFUSE = "drop", "fail", "refuse"


class Platform(HTTPServer):
    """Takes events as the platform does; `moods` says how the next requests go wrong."""

    moods: list[str]
    seen: list[Any]
    """Every event that arrived, those of broken attempts included."""
    keys: list[str]
    checks: list[Any]
    """Every question whether a key may report under a source."""
    check: tuple[int, str]
    """Status and code of the answers to those."""

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Platform

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if json.loads(body)[0]["type"] == "inferworks.retraction":
            self.server.checks += json.loads(body)
            status, code = self.server.check
            error = {"error": {"code": code, "message": "not with this key"}}
            self.answer(status, json.dumps(error).encode())
            return
        self.server.keys.append(self.headers["authorization"])
        assert self.path == "/v1/usage/events"
        mood = self.server.moods.pop(0) if self.server.moods else ""
        if mood != REFUSE:
            self.server.seen += json.loads(body)
        if mood == DROP:  # it was counted, but nobody hears of it
            self.close_connection = True
            return
        status = {FAIL: 503, REFUSE: 403}.get(mood, 200)
        answer = b'{"error":{"message":"not with this key"}}' if mood == REFUSE else ACCEPTED
        self.answer(status, answer)

    def answer(self, status: int, answer: bytes) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def listening(*moods: str) -> Iterator[Platform]:
    """A platform that fails as `moods` say, then answers."""
    with Platform(("127.0.0.1", 0), _Handler) as platform:
        platform.moods, platform.seen, platform.keys = list(moods), [], []
        platform.checks, platform.check = [], (400, "unknown_report")
        thread = threading.Thread(target=platform.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield platform
        finally:
            platform.shutdown()
            thread.join()


def test_a_block_is_measured_and_reported() -> None:
    """One event with the block's times, named by source and id, in CloudEvents' envelope."""
    before_ns = time.time_ns()
    with (
        listening() as platform,
        metered("train-gradient", "gpu-3", description="a run", url=platform.url, key="iw_x"),
    ):
        time.sleep(0.01)
    [event] = platform.seen
    data = event["data"]
    assert (event["specversion"], event["type"]) == ("1.0", "inferworks.activity")
    assert event["source"] == "inferworks.metered"
    assert event["id"].startswith("act_")
    assert platform.keys == ["Bearer iw_x"]
    assert (data["resource"], data["purpose"], data["unit"]) == (
        "gpu-3",
        "train-gradient",
        "node_ns",
    )
    assert data["quantity"] == data["end_ns"] - data["start_ns"] >= 10_000_000
    assert abs(data["start_ns"] - before_ns) < 5_000_000_000


def test_processor_time_leaves_out_waiting() -> None:
    """A block that only waits occupied the machine for next to nothing."""
    with (
        listening() as platform,
        metered("train-gradient", "n", measure="processor", url=platform.url, key="k"),
    ):
        time.sleep(0.1)
    [event] = platform.seen
    assert event["data"]["quantity"] < event["data"]["end_ns"] - event["data"]["start_ns"]


def test_a_retry_is_the_same_event_again() -> None:
    """Counted but unheard, then unavailable, then answered: three times the same body and name."""
    pauses: list[float] = []
    with listening(DROP, FAIL) as platform:
        counts = report([EVENT], platform.url, "k", pause=pauses.append)
    assert counts == {"accepted": 1, "duplicate": 0, "conflict": 0}
    assert len(platform.seen) == 3
    assert all(event == EVENT.envelope() for event in platform.seen)
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_a_refusal_is_not_tried_again() -> None:
    """A wrong key is the user's to mend; the error has the platform's own words."""
    with listening(REFUSE) as platform, pytest.raises(UserError, match="403: not with this key"):
        report([EVENT], platform.url, "k", pause=pytest.fail)


def test_giving_up_is_an_error() -> None:
    """A platform that stays away is reported after a bounded number of attempts."""
    pauses: list[float] = []
    with listening() as gone:
        url = gone.url
    with pytest.raises(UpstreamError, match="not reported after several attempts"):
        report([EVENT], url, "k", pause=pauses.append)
    assert len(pauses) == 4


def test_a_failing_block_is_metered_too() -> None:
    """The machine was used all the same; the block's own error comes out."""
    with (
        listening() as platform,
        pytest.raises(ZeroDivisionError),
        metered("train-gradient", "n", url=platform.url, key="k"),
    ):
        raise ZeroDivisionError
    assert len(platform.seen) == 1


def test_the_error_of_the_block_goes_before_that_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed report is kept, and noted on the error of the block, which is the one that counts."""
    monkeypatch.chdir(tmp_path)
    with (
        listening(REFUSE) as platform,
        pytest.raises(ZeroDivisionError) as failed,
        metered("train-gradient", "n", url=platform.url, key="k"),
    ):
        raise ZeroDivisionError
    [kept] = tmp_path.iterdir()
    [note] = failed.value.__notes__
    assert "was not reported" in note
    assert str(kept) in note


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """INFERWORKS_URL and INFERWORKS_API_KEY are used; without them the error names them."""
    monkeypatch.delenv("INFERWORKS_URL", raising=False)
    monkeypatch.setenv("INFERWORKS_API_KEY", "iw_env")
    with pytest.raises(UserError, match="set INFERWORKS_URL"), metered("evaluate", "n"):
        pytest.fail("the block must not run unmetered")
    with listening() as platform:
        monkeypatch.setenv("INFERWORKS_URL", platform.url)
        with metered("evaluate", "n"):
            pass
    assert platform.keys == ["Bearer iw_env"]


WRONG: dict[str, dict[str, Any]] = {
    "purpose": {"purpose": "train"},
    "purpose: 'serve-paid'": {"purpose": "serve-paid"},
    "node": {"node": ""},
    "node: 3": {"node": 3},
    "source": {"source": ""},
    "description": {"description": "x" * 1025},
    "measure": {"measure": "cpu"},
    "url: 'junk'": {"url": "junk"},
    "url: 'ftp": {"url": "ftp://x/v1"},
    "url: 'http:///v1'": {"url": "http:///v1"},
    "url: 'http://x:port'": {"url": "http://x:port"},
    "key": {"key": "iw_x\n"},
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_found_before_the_block(words: str) -> None:
    """Twelve hours of training are not begun with a typing error; nothing is sent."""
    with listening() as platform:
        right = {
            "purpose": "train-gradient", "node": "gpu-3", "url": platform.url, "key": "iw_x",
        }  # fmt: skip
        with (
            pytest.raises(UserError, match=f"^{words}"),
            metered(**{**right, **WRONG[words]}),
        ):
            pytest.fail("the block must not run unmetered")
    assert not platform.checks
    assert not platform.seen


@pytest.mark.parametrize(
    ("status", "code"), [(401, "invalid_api_key"), (403, "source_not_allowed"), (404, "")]
)
def test_a_key_that_may_not_report_is_found_before_the_block(status: int, code: str) -> None:
    """The gateway is asked about the key and the source; its words are in the error."""
    with listening() as platform:
        platform.check = (status, code)
        with (
            pytest.raises(UserError, match=f"refused with {status}: not with this key"),
            metered("train-gradient", "n", source="lab", url=platform.url, key="k"),
        ):
            pytest.fail("the block must not run unmetered")
    [question] = platform.checks
    assert question["source"] == "lab"
    assert not platform.seen


def test_a_report_that_cannot_be_delivered_is_kept_and_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block's result stays; the warning names the file and the command, and the command counts it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(metering, "_PAUSES_S", ())
    with listening() as gone:
        url = gone.url
    with (
        pytest.warns(RuntimeWarning, match="was not reported") as warned,
        metered("train-gradient", "gpu-3", url=url, key="iw_secret"),
    ):
        result = 42
    assert result == 42
    [kept] = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "iw_secret" not in kept.read_text()
    words = str(warned[0].message).partition("inferworks usage import ")[2]
    assert words == str(kept)
    assert warned[0].filename == __file__
    for count in ("accepted", "duplicate"):
        done = CliRunner().invoke(
            cli, ["usage", "import", words, "--data", str(tmp_path / "data"), "--json"]
        )
        assert done.exit_code == 0, done.output
        [received] = json.loads(done.stdout)["files"]
        assert received[count] == 1


def test_an_answer_of_something_else_is_no_raw_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of another server is told from the answer of a gateway."""
    monkeypatch.setattr(metering, "_post", lambda *_: (200, b"<html>"))
    with pytest.raises(UserError, match="no base URL of a gateway"):
        metering.send(b"[]", "http://x", "iw_x")
