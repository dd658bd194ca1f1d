"""The access log: a line for each call and refusal, with nothing in it that is private or invisible."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.config import Log
from inferworks.errors import ConfigError
from inferworks.folder import DataFolder
from inferworks.meter.usage import Items, Outcome
from inferworks.observe.access import (
    AccessLog,
    RefusedRequest,
    fields_of,
    fields_of_refused,
    json_line,
    text_line,
)
from inferworks.testing.facts import A_TIME_NS, make_leg, make_usage
from inferworks.testing.in_process_gateway import CHAT, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer

from .conftest import ASKED, OpenWorld, Run, World, new_key
from .test_transcripts import ANSWER, CALL, CANARY, call_in_every_way

LOGFMT = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)(?: |$)')
REFUSED = RefusedRequest(A_TIME_NS, "POST", "/v1/chat", 404, None)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log in JSON."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def words_of(line: str) -> dict[str, str]:
    """A line of a log in text."""
    assert LOGFMT.sub("", line) == "", line
    return {found[1]: found[2] for found in LOGFMT.finditer(line)}


def test_every_call_and_refusal_is_one_line(
    open_world: OpenWorld, run: Run, tmp_path: Path
) -> None:
    """As many lines as records and requests that were no call; each says who, what, how and why."""
    caller = new_key(DataFolder(tmp_path / "data"))
    path = tmp_path / "access.jsonl"

    async def main() -> None:
        async with open_world(ANSWER, log=Log(access="json", file=str(path))) as world:
            await world.ask(caller, body=CALL)
            await world.ask(caller, body={**CALL, "stream": True})
            await world.ask(caller, body={**CALL, "model": "nobody's"})
            await world.ask("", body=CALL)
            await world.ask("iw_" + "x" * 40, "/v1/models")
            await world.ask(caller, "/v1/nothing?key=iw_secret", CALL)
            await world.ask(caller, "/v1/messages")
            await world.ask(caller, headers={"content-length": "nine"}, body=CALL)
            await world.ask(caller, "/v1/models")
            await world.ask("", "/health")

    run(main())
    told = [
        (line.get("path", line.get("operation")), line["status"], line.get("error"))
        for line in lines_of(path)
    ]
    assert told == [
        ("chat.completions", 200, None),
        ("chat.completions", 200, None),
        ("chat.completions", 404, "model_not_found"),
        ("/v1/chat/completions", 401, "unauthorized"),
        ("/v1/models", 401, "invalid_api_key"),
        ("/v1/nothing", 404, "not_found"),
        ("/v1/messages", 405, "method_not_supported"),
        (None, 400, "bad_request"),
    ]
    whole, stream, unknown, *_ = lines_of(path)
    assert whole["outcome"] == stream["outcome"] == "answered"
    assert (whole["customer"], whole["model"]) == ("acme", ASKED["model"])
    assert whole["provider"] == "fake"
    assert whole["offer"]
    assert whole["input_tokens"] > 0
    assert whole["output_tokens"] > 0
    assert whole["request_bytes"] == len(msgspec.json.encode(CALL))
    assert whole["response_bytes"] > 0
    assert stream["stream"] is True
    assert 0 < stream["ttft_ms"] <= stream["duration_ms"]
    assert unknown["outcome"] == "refused"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", whole["time"])


@pytest.mark.slow
def test_a_call_that_cannot_be_recorded_has_a_line(run: Run) -> None:
    """No record tells of it, so the request that was refused does."""

    async def main() -> None:
        heard: list[RefusedRequest] = []
        async with open_gateway_over(StubProvider(), on_refused=heard.append) as gateway:
            gateway.store.broken = True
            answer = await gateway.chat(CALL | {"model": A_MODEL})
            assert (answer.status, answer.json["error"]["code"]) == (503, "journal")
            assert [(one.path, one.status, one.code) for one in heard] == [(CHAT, 503, "journal")]

    run(main())


@pytest.mark.parametrize("style", ["json", "text"])
def test_nothing_that_is_private_is_in_it(
    open_world: OpenWorld, run: Run, tmp_path: Path, style: Any
) -> None:
    """No word of a call and no key is in the log, however calls end, and each call is in it."""
    caller = new_key(DataFolder(tmp_path / "data"))
    path = tmp_path / "access.log"

    async def main(world: World) -> None:
        await call_in_every_way(world, caller)
        await world.ask(CANARY, body=CALL)
        await world.ask("", f"/v1/models?api_key={caller}")

    async def opened() -> None:
        async with open_world(ANSWER, log=Log(access=style, file=str(path))) as world:
            await main(world)

    run(opened())
    text = path.read_text()
    assert text.count("call_") >= 15
    for word in (CANARY, "parrot", caller):
        assert word not in text


def test_a_call_says_what_was_left_out_of_it() -> None:
    """The fields and tools that its last attempt went without; nothing where it went with all."""
    without = msgspec.structs.replace(make_leg(), left_out="n, logprobs")
    fields = fields_of(make_usage(legs=[make_leg(), without]), None)
    assert json.loads(json_line(fields))["left_out"] == "n, logprobs"
    assert words_of(text_line(fields))["left_out"] == '"n, logprobs"'
    assert "left_out" not in fields_of(make_usage(), None)


def test_a_call_says_what_it_cost_its_caller() -> None:
    """Costs are exact decimals in both forms, and absent where they are unknown."""
    usage = msgspec.structs.replace(make_usage(), items=Items(images=2))
    fields = fields_of(usage, (9_000_001, "EUR"))
    assert '"cost":0.000009000001,"currency":"EUR"' in json_line(fields)
    assert " cost=0.000009000001 currency=EUR " in text_line(fields)
    assert json.loads(json_line(fields))["images"] == 2
    assert "cost" not in fields_of(usage, None)


@pytest.mark.parametrize(
    "name",
    ['a" outcome=answered', "a\nb", "\x1b[2J", "\u202egpt", "\x7f", "\\", "", "gpt 5", "a=b", "é"],
)
def test_names_forge_nothing(name: str) -> None:
    """A model's name is one word of one line in which everything can be seen, and keeps its meaning."""
    usage = make_usage(model=name, outcome=Outcome.REFUSED)
    usage = msgspec.structs.replace(usage, error_code="model_not_found")
    for line in (json_line(fields_of(usage, None)), text_line(fields_of(usage, None))):
        assert line.isprintable()
    assert json.loads(json_line(fields_of(usage, None)))["model"] == name
    words = words_of(text_line(fields_of(usage, None)))
    assert words["outcome"] == "refused"
    assert words["error"] == "model_not_found"


def test_a_path_is_cut_and_its_secrets_are_masked() -> None:
    """A request that was no call shows a bounded path without keys."""
    key = "iw_" + "A" * 40
    fields = fields_of_refused(REFUSED._replace(path=f"/v1/{key}/" + "x" * 1000))
    assert key not in fields["path"]
    assert len(fields["path"]) <= 200
    assert words_of(text_line(fields))["error"] == "not_found"


def test_a_file_that_was_moved_is_opened_anew(tmp_path: Path) -> None:
    """After logrotate's move, lines go to a new file; none is lost."""
    path = tmp_path / "access.log"
    log = AccessLog("text", path)
    log.take(make_usage())
    while not path.stat().st_size:
        os.sched_yield()
    path.rename(tmp_path / "access.log.1")
    log.take(REFUSED)
    log.close()
    assert (tmp_path / "access.log.1").read_text().count("\n") == 1
    assert path.read_text().count("error=not_found") == 1
    assert log.dropped == 0


def test_a_disk_that_fails_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that a full disk does not take are counted; half a line is ended before the next."""
    path = tmp_path / "access.log"
    real, room = os.write, [10]

    def write(descriptor: int, data: bytes) -> int:
        if room and room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = real(descriptor, data[: room[0]] if room else data)
        if room:
            room[0] -= written
        return written

    log = AccessLog("json", path)
    monkeypatch.setattr("inferworks.observe.access.os.write", write)
    log.take(make_usage())
    while not log.dropped:
        os.sched_yield()
    room.clear()
    log.take(REFUSED)
    log.close()
    torn, whole = path.read_text().splitlines()
    assert log.dropped == 1
    assert len(torn) == 10
    assert json.loads(whole)["error"] == "not_found"


def test_what_finds_no_place_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: beyond, lines are dropped, counted, and calls go on."""
    monkeypatch.setattr("inferworks.observe.access._MOST_QUEUED", 0)
    log = AccessLog("json", tmp_path / "access.log")
    for _ in range(5):
        log.take(REFUSED)
    log.close()
    assert log.dropped == 5


def test_a_file_that_cannot_be_written_is_told_at_the_start(
    open_world: OpenWorld, run: Run, tmp_path: Path
) -> None:
    """The platform does not start without the log that it was told to write."""

    async def main() -> None:
        async with open_world(Answer(), log=Log(access="text", file=str(tmp_path / "no" / "log"))):
            raise AssertionError("it has started")

    with pytest.raises(ConfigError, match=r"log\.file: .* cannot be written: No such file"):
        run(main())
