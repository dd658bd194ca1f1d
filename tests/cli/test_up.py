"""`inferworks up` as its user meets it: a real process, real signals, one clear line when it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from inferworks.http.client import Origin
from inferworks.meter.reader import JournalReader
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow


def inferworks(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "inferworks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


def base_url(origin: Origin) -> str:
    """The address for a client."""
    return f"http://{origin.authority}{origin.base_path}"


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed as it should."""
    assert result.returncode != 0
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture
def closed_at_end() -> Iterator[ExitStack]:
    """Stack of a test's clients, which closes them at the end."""
    with ExitStack() as stack:
        yield stack


def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for another process to have done something that shows only by looking."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_first_start_to_second_start(tmp_path: Path, closed_at_end: ExitStack) -> None:
    """The first start makes a key that works as pasted; the second shows none and keeps all."""
    with real_platform(tmp_path / "data") as platform:
        url = base_url(platform.start())
        (secret,) = set(re.findall(r"iw_[a-z2-7]{16}_[\w-]{43}", platform.log()))
        client = closed_at_end.enter_context(openai.OpenAI(base_url=url, api_key=secret))
        answer = client.chat.completions.create(
            model="inferworks-tiny",
            messages=[{"role": "user", "content": "What is gross margin?"}],
            temperature=0,
        )
        assert answer.choices[0].message.content
        older = client.completions.create(model="inferworks-tiny", prompt="Gross", max_tokens=3)
        assert older.choices[0].text
        with pytest.raises(openai.BadRequestError, match="cannot be used for images"):
            client.images.generate(model="inferworks-tiny", prompt="Gross margin, in oil.")
        assert platform.stop() == 0
        before = platform.log()
        platform.start()
        assert "iw_" not in platform.log()[len(before) :]
        status = json.loads(inferworks("status", "--json", "--data", str(tmp_path / "data")).stdout)
        assert status["state"] == "ok"
        assert status["journal"]["usage"] == 3


def test_the_printed_snippets_work(tmp_path: Path) -> None:
    """The curl line and the Python snippet run exactly as they are printed."""
    with real_platform(tmp_path / "data") as platform:
        platform.start()
        printed = platform.log()
        curl = printed[printed.index("curl http") : printed.index("The same in Python")]
        answer = subprocess.run(
            ["bash", "-c", curl], capture_output=True, text=True, timeout=60, check=True
        )
        assert json.loads(answer.stdout)["choices"][0]["message"]["content"]
        snippet = printed[printed.index("from openai") : printed.index("Ctrl-C stops.")]
        result = subprocess.run(
            [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60, check=True
        )
        assert result.stdout.strip()


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """Nothing is written when the port cannot be had."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = inferworks("up", "--port", str(port), "--data", str(tmp_path / "data"))
    assert f"cannot listen on 127.0.0.1:{port}" in one_line(result)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """A second instance on the same data is refused, and told who has it."""
    with real_platform(tmp_path / "data") as platform:
        platform.start()
        instance = platform.folder.instance()
        assert instance is not None
        result = inferworks("up", "--port", "0", "--data", str(tmp_path / "data"))
        assert f"in use by process {instance.pid}" in one_line(result)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gateway]\nprt = 1", "unknown setting gateway.prt"),
        ("[gateway]\nport = 'a'", "gateway.port: expected int, got str"),
        (None, "no such configuration file"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(
    tmp_path: Path, text: str | None, words: str
) -> None:
    """A wrong setting stops the start before anything is made."""
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    result = inferworks("up", "--config", str(path), cwd=tmp_path)
    assert words in one_line(result)
    assert [p.name for p in tmp_path.iterdir() if p != path] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_running_streams_finish(
    tmp_path: Path, closed_at_end: ExitStack, number: signal.Signals
) -> None:
    """A stream that runs when the stop comes is answered to its end and recorded."""
    with real_platform(tmp_path / "data") as platform:
        url = base_url(platform.start())
        (secret,) = set(re.findall(r"iw_[a-z2-7]{16}_[\w-]{43}", platform.log()))
        client = closed_at_end.enter_context(openai.OpenAI(base_url=url, api_key=secret))
        stream = client.chat.completions.create(
            model="inferworks-tiny",
            messages=[{"role": "user", "content": "Tell me a story."}],
            max_tokens=400,
            stream=True,
            extra_body={"min_tokens": 400, "ignore_eos": True},
        )
        pieces = iter(stream)
        next(pieces)
        platform.send(number)
        reasons = [choice.finish_reason for piece in pieces for choice in piece.choices]
        assert reasons[-1] == "length"
        assert platform.wait() == 0
        assert "Traceback" not in platform.log()
    with JournalReader(platform.folder.journal) as reader:
        (usage,) = reader.usages(0, 2**63 - 1)
        assert usage.outcome == "answered"
        assert usage.tokens.output == 400
        facts = reader.facts(0, 2**63 - 1)
        assert sum(p.decode_tokens for s in facts.steps for p in s.calls) == 399


def test_the_platform_ends_with_whoever_holds_its_input(tmp_path: Path) -> None:
    """With --until-eof a platform whose starter is gone stops by itself, in good order."""
    command = [sys.executable, "-m", "inferworks", "up", "--until-eof", "--port", "0"]
    with subprocess.Popen(
        [*command, "--data", str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert "ready at" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_a_revoked_key_stops_working(tmp_path: Path, closed_at_end: ExitStack) -> None:
    """Keys made, listed and revoked by the command line take effect on the running platform."""
    data = ("--data", str(tmp_path / "data"))
    with real_platform(tmp_path / "data") as platform:
        url = base_url(platform.start())
        made = json.loads(inferworks("keys", "create", "--name", "x", "--json", *data).stdout)
        client = closed_at_end.enter_context(
            openai.OpenAI(base_url=url, api_key=made["key"], max_retries=0)
        )

        def works() -> bool:
            try:
                client.models.list()
            except openai.AuthenticationError:
                return False
            return True

        until(works)
        listed = json.loads(inferworks("keys", "list", "--json", *data).stdout)
        assert made["id"] in {key["id"] for key in listed}
        assert made["key"] not in inferworks("keys", "list", *data).stdout
        assert inferworks("keys", "revoke", made["id"], *data).returncode == 0
        until(lambda: not works())
        assert "no key key_nothing" in one_line(inferworks("keys", "revoke", "key_nothing", *data))


def test_a_dead_replica_is_replaced(tmp_path: Path, closed_at_end: ExitStack) -> None:
    """A replica that is killed is started again, and its down time is accounted for."""
    with real_platform(tmp_path / "data") as platform:
        url = base_url(platform.start())
        (secret,) = set(re.findall(r"iw_[a-z2-7]{16}_[\w-]{43}", platform.log()))
        client = closed_at_end.enter_context(
            openai.OpenAI(base_url=url, api_key=secret, max_retries=20)
        )

        def ask() -> str:
            answer = client.chat.completions.create(
                model="inferworks-tiny",
                messages=[{"role": "user", "content": "What is 2 + 2?"}],
                temperature=0,
            )
            return answer.choices[0].message.content or ""

        before = ask()
        os.kill(children_of(platform)[0], signal.SIGKILL)
        assert ask() == before
        assert platform.stop() == 0
    with JournalReader(platform.folder.journal) as reader:
        facts = reader.facts(0, 2**63 - 1)
    states = {row.state for row in facts.capacity}
    assert {"starting", "loading", "active", "idle", "down"} <= states
    assert sum(usage.outcome == "answered" for usage in facts.usages) == 2


def children_of(platform: RealPlatform) -> list[int]:
    """The processes that the platform started."""
    instance = platform.folder.instance()
    assert instance is not None
    text = Path(f"/proc/{instance.pid}/task/{instance.pid}/children").read_text()
    return [int(pid) for pid in text.split()]
