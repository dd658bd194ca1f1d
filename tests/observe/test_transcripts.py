"""Prompts and answers are kept for keys that were made so, and are nowhere else, ever."""

from __future__ import annotations

import base64
import json
import logging
import resource
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inferworks.config import Observe
from inferworks.folder import DataFolder
from inferworks.meter.usage import Opened
from inferworks.observe.transcripts import Transcripts
from inferworks.testing.facts import A_TIME_NS, make_opened
from inferworks.testing.upstream import Answer, Fault

from .conftest import ASKED, OpenWorld, Run, World, new_key
from .exporters.test_otlp import collector

CANARY = "canary-c4f0e9"
ANSWERED = "parrot-77ab31"
CALL: dict[str, Any] = {**ASKED, "messages": [{"role": "user", "content": f"hello {CANARY}"}]}
BAD: list[dict[str, Any]] = [
    {**CALL, "model": "nobody's"},
    {**CALL, "n": CANARY},
    {**CALL, "messages": [{"role": CANARY * 9, "content": CANARY}]},
]
ANSWER = Answer(words=("Hello", ANSWERED, "."))


def holds(folder: DataFolder, word: str) -> list[str]:
    """The files below the data folder that hold `word`."""
    files = (path for path in folder.path.rglob("*") if path.is_file())
    return sorted(path.name for path in files if word.encode() in path.read_bytes())


async def call_in_every_way(world: World, secret: str) -> None:
    """Calls that are answered, streamed, refused here and there, and broken off."""
    for body in (CALL, {**CALL, "stream": True}, *BAD):
        await world.ask(secret, body=body)
    await world.ask(secret, "/v1/embeddings", {"model": ASKED["model"], "input": CANARY})
    for fault in (Fault.RESET, Fault.GARBAGE, Fault.ERROR_EVENT):
        world.upstream.script(Answer(words=ANSWER.words, fault=fault, fault_after=2))
        for stream in (False, True):
            await world.ask(secret, body={**CALL, "stream": stream})
    world.upstream.script(Answer(status=400), Answer(status=500), ANSWER)
    for _ in range(3):
        await world.ask(secret, body=CALL)


@pytest.mark.slow
def test_without_the_flag_no_word_is_anywhere(
    open_world: OpenWorld, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No file, log line, metric or span holds what was asked or answered, whatever becomes of a call."""
    folder = DataFolder(tmp_path / "data")
    caller, monitor = new_key(folder), new_key(folder, monitor=True)
    scrapes: list[bytes] = []

    async def main(url: str) -> None:
        observe = Observe(traces=True, traces_url=url)
        async with open_world(ANSWER, observe=observe) as world:
            await call_in_every_way(world, caller)
            scrapes.append((await world.ask(monitor, "/metrics")).body)
            for word in (CANARY, ANSWERED):
                assert holds(folder, word) == []

    caplog.set_level(logging.DEBUG)
    with collector() as (url, received):
        run(main(url))
    assert len(received) >= 1
    seen = b"".join([*scrapes, *(body for _, body in received), caplog.text.encode()])
    for word in (CANARY, ANSWERED):
        hits = holds(folder, word)
        assert hits == [], hits
        assert word.encode() not in seen
    assert not folder.transcripts.exists()


@pytest.mark.slow
def test_with_the_flag_they_are_in_one_file_that_only_its_owner_reads(
    open_world: OpenWorld, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole answer and a stream are there as they went, and in no other file, log or span."""
    folder = DataFolder(tmp_path / "data")
    caller, other = new_key(folder, log_content=True), new_key(folder)
    answers: list[bytes] = []

    async def main(url: str) -> None:
        observe = Observe(traces=True, traces_url=url)
        async with open_world(ANSWER, observe=observe) as world:
            for stream in (False, True):
                answers.append((await world.ask(caller, body={**CALL, "stream": stream})).body)
            await world.ask(other, body=ASKED)

    caplog.set_level(logging.DEBUG)
    with collector() as (url, received):
        run(main(url))
    (file,) = folder.transcripts.iterdir()
    assert holds(folder, CANARY) == holds(folder, ANSWERED) == [file.name]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.transcripts.stat().st_mode) == 0o700
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["answer"].encode() for line in lines] == answers
    assert [CANARY in line["request"] for line in lines] == [True, True]
    assert [line["cut"] for line in lines] == [False, False]
    assert CANARY not in caplog.text
    assert CANARY.encode() not in b"".join(body for _, body in received)


def opened() -> Opened:
    """A call of one second into a day."""
    return msgspec.structs.replace(make_opened(), opened_ns=A_TIME_NS)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Transcripts kept in `folder`."""
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def test_long_ones_are_cut(tmp_path: Path) -> None:
    """Of a request and of an answer so many bytes are kept, and it is said."""
    transcripts = Transcripts(tmp_path / "t", 4)
    transcript = transcripts.begin(opened(), b"abcdef")
    for piece in (b"12", b"345", b"6"):
        transcript.heard(piece)
    transcript.end()
    transcripts.close()
    (line,) = lines_of(tmp_path / "t")
    assert (line["request"], line["answer"], line["cut"]) == ("abcd", "1234", True)


def test_what_is_no_text_is_kept_in_base_64(tmp_path: Path) -> None:
    """Sound and pictures come back byte by byte."""
    transcripts = Transcripts(tmp_path / "t", 100)
    transcript = transcripts.begin(opened(), b"text")
    transcript.heard(b"\xff\x00")
    transcript.end()
    transcripts.close()
    (line,) = lines_of(tmp_path / "t")
    assert base64.b64decode(line["answer_base64"]) == b"\xff\x00"
    assert line["cut"] is False


def test_a_disk_that_fails_costs_transcripts_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Transcripts that cannot be kept are dropped and counted, in one log line that quotes nothing."""
    in_the_way = tmp_path / "t"
    in_the_way.write_text("a file where the folder should be")
    transcripts = Transcripts(in_the_way, 100)
    for _ in range(3):
        transcripts.begin(opened(), CANARY.encode()).end()
    transcripts.close()
    assert transcripts.dropped == 3
    assert caplog.text.count("transcripts cannot be kept") == 1
    assert CANARY not in caplog.text


def test_a_disk_that_is_full_leaves_no_half_of_a_line(tmp_path: Path) -> None:
    """A transcript that does not fit is dropped whole, and the next one that fits is a line by itself."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (None, 20, None):
        transcripts = Transcripts(tmp_path / "t", 100)
        if room:
            size = next((tmp_path / "t").iterdir()).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, before[1]))
        try:
            transcripts.begin(opened(), b"x").end()
            transcripts.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert transcripts.dropped == (1 if room else 0)
    assert len(lines_of(tmp_path / "t")) == 2


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """Nobody can have transcripts written elsewhere by leaving a link where a file will be."""
    folder, elsewhere = tmp_path / "t", tmp_path / "elsewhere"
    folder.mkdir()
    transcripts = Transcripts(folder, 100)
    probe = transcripts.begin(opened(), b"x")
    probe.end()
    transcripts.close()
    (file,) = folder.iterdir()
    file.unlink()
    file.symlink_to(elsewhere)
    transcripts.begin(opened(), b"x").end()
    transcripts.close()
    assert transcripts.dropped == 1
    assert not elsewhere.exists()
