"""A replica as a process: real sockets, real signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inferworks.hardware.spool import ReplicaState, StateLine, StepLine, read_spool
from inferworks.ids import CallId

pytestmark = pytest.mark.slow

WAIT_S = 30
QUESTION = [{"role": "user", "content": "Tell me a long story about Ada."}]


@dataclass
class Replica:
    """A process, where it listens, and what it writes down."""

    process: subprocess.Popen[bytes]
    port: int
    spool: Path

    def send(self, call: str = "c", **fields: object) -> http.client.HTTPConnection:
        """Send a chat request and do not wait for the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        body = {"model": "inferworks-tiny", "messages": QUESTION, "temperature": 0, **fields}
        headers = {"x-inferworks-call-id": call, "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        return connection

    def ask(self, call: str = "c", **fields: object) -> tuple[int, bytes]:
        """Send a chat request and read the whole answer."""
        connection = self.send(call, **fields)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Fetch a path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def states(self) -> list[ReplicaState]:
        """The states it wrote down."""
        return [line.state for line in read_spool(self.spool) if isinstance(line, StateLine)]

    def tokens_of(self, call: str) -> tuple[int, int]:
        """The prefill and decode tokens of a call by the spool."""
        steps = [line for line in read_spool(self.spool) if isinstance(line, StepLine)]
        mine = [entry for step in steps for entry in step.calls if entry[0] == call]
        return sum(entry[1] for entry in mine), sum(entry[2] for entry in mine)


@contextmanager
def started(
    spool: Path, *more: str, stdin: bytes = b"", descriptors: int = 1024
) -> Iterator[Replica]:
    """A replica that is ready and was sent `stdin`; killed at the end if it still runs.

    The limit of its file descriptors is set in its own process: this one may hold more already.
    """
    command = [
        *("sh", "-c", f'ulimit -Sn {descriptors} && exec "$@"', "sh"),
        *(sys.executable, "-m", "inferworks.hardware.engines.embedded.serve", "--port", "0"),
        *("--replica", "r1", "--node", "n1", "--spool", str(spool), *more),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(stdin)
            process.stdin.flush()
            ready = json.loads(process.stdout.readline())
            assert (ready["event"], ready["pid"]) == ("ready", process.pid)
            yield Replica(process, ready["port"], spool)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """One replica for the tests that leave it as it was."""
    with started(tmp_path_factory.mktemp("replica") / "spool") as it:
        yield it


def chunks(raw: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream, which must end with the end mark."""
    events = raw.decode().removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


def test_whole_and_streamed_are_the_same(replica: Replica) -> None:
    """The same greedy call gives the same text and usage, streamed or not."""
    status, raw = replica.ask("whole", max_tokens=60)
    whole = json.loads(raw)
    assert (status, whole["object"], whole["id"]) == (200, "chat.completion", "chatcmpl-whole")
    options = {"include_usage": True, "continuous_usage_stats": True}
    status, raw = replica.ask("streamed", max_tokens=60, stream=True, stream_options=options)
    *events, last = chunks(raw)
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert (status, text) == (200, whole["choices"][0]["message"]["content"])
    assert last["choices"] == []
    assert last["usage"] == whole["usage"] == events[-1]["usage"]
    counts = [event["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts)
    for call in ("whole", "streamed"):
        expected = whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"] - 1
        assert replica.tokens_of(call) == expected


def test_several_choices(replica: Replica) -> None:
    """Choices are independent, numbered, and share the one prompt that is counted."""
    _, raw = replica.ask("four", n=4, temperature=1, seed=3, max_tokens=40, ignore_eos=True)
    whole = json.loads(raw)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
    assert len({choice["message"]["content"] for choice in whole["choices"]}) == 4
    assert whole["usage"]["completion_tokens"] == 160
    assert replica.tokens_of("four") == (whole["usage"]["prompt_tokens"], 156)


def test_models_and_health(replica: Replica) -> None:
    """The model is listed under its name, and the replica is well."""
    assert json.loads(replica.get("/v1/models")[1])["data"][0]["id"] == "inferworks-tiny"
    assert replica.get("/health")[0] == 200


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"messages": [{"role": "user", "content": "x" * 1100}]}, 400, "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": "x" * 1100}], "stream": True}, 400,
         "context_length_exceeded"),
        ({"model": "other"}, 404, "model_not_found"),
        ({"n": 9}, 400, None),
    ],
)  # fmt: skip
def test_refusals(replica: Replica, fields: dict[str, Any], status: int, code: str | None) -> None:
    """A refusal has OpenAI's status and error body, also when a stream was asked for."""
    answered, raw = replica.ask(**fields)
    assert (answered, json.loads(raw)["error"]["code"]) == (status, code)


def test_who_hangs_up_frees_the_slots(tmp_path: Path) -> None:
    """A client that leaves in the middle is taken out, and the next one gets its rows."""
    with started(tmp_path / "spool", "--slots", "8") as replica:
        leaving = replica.send("gone", n=8, ignore_eos=True, stream=True)
        leaving.getresponse().read(100)
        leaving.close()
        status, _ = replica.ask("next", n=8, max_tokens=5)
        assert status == 200
        prefill, decode = replica.tokens_of("gone")
        assert prefill > 0
        assert decode < 8 * 900, "it was cut short"
        order = [
            e[0] for s in read_spool(replica.spool) if isinstance(s, StepLine) for e in s.calls
        ]
        assert "gone" not in order[order.index(CallId("next")) :]


def test_a_killed_replica_leaves_a_readable_spool(tmp_path: Path) -> None:
    """After SIGKILL in the middle of an answer every line but a torn last one can be read."""
    with started(tmp_path / "spool") as replica:
        running = replica.send("cut", n=8, ignore_eos=True, stream=True)
        running.getresponse().read(2000)
        replica.process.kill()
        replica.process.wait(WAIT_S)
        running.close()
    assert replica.states() == ["starting", "loading", "idle"]
    lines = read_spool(replica.spool)
    assert [s.seq for s in lines if isinstance(s, StepLine)] == list(range(1, len(lines) - 2))
    assert replica.tokens_of("cut")[1] > 0


def test_it_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    """The end of standard input ends the replica at once, whatever runs."""
    with started(tmp_path / "spool", "--drain-s", "1000") as replica:
        running = replica.send(n=8, ignore_eos=True, stream=True)
        running.getresponse().read(100)
        assert replica.process.stdin is not None
        replica.process.stdin.close()
        assert replica.process.wait(WAIT_S) == 0
        running.close()
    assert replica.states() == ["starting", "loading", "idle", "draining", "down"]


def test_it_drains_on_sigterm(tmp_path: Path) -> None:
    """On SIGTERM the running stream is finished, then the replica ends."""
    with started(tmp_path / "spool") as replica:
        running = replica.send("last", n=8, ignore_eos=True, stream=True, max_tokens=300)
        response = running.getresponse()
        head = response.read(100)
        os.kill(replica.process.pid, signal.SIGTERM)
        events = chunks(head + response.read())
        assert sum(event["choices"][0]["finish_reason"] == "length" for event in events) == 8
        assert replica.process.wait(WAIT_S) == 0
        running.close()
    assert replica.states()[-2:] == ["draining", "down"]
    assert replica.tokens_of("last")[1] == 8 * 299


def test_a_replica_with_a_token_answers_to_nobody_else(tmp_path: Path) -> None:
    """Without its token no path answers, and nothing is traced."""
    with started(tmp_path / "spool", "--token", "stdin", stdin=b"s3cret\n") as replica:
        for path in ("/v1/models", "/health", "/elsewhere"):
            assert replica.get(path)[0] == 401
            for wrong in ("Bearer s3cre", "Bearer s3cret2", "s3cret", "Basic s3cret"):
                assert replica.get(path, {"authorization": wrong})[0] == 401
        assert replica.ask("somebody_elses")[0] == 401
        assert replica.tokens_of("somebody_elses") == (0, 0)
        assert replica.get("/v1/models", {"authorization": "Bearer s3cret"})[0] == 200


def test_strangers_shut_nobody_out(tmp_path: Path) -> None:
    """A client with the token is answered, however many connections strangers of this machine hold."""
    with ExitStack() as stack:
        replica = stack.enter_context(
            started(tmp_path / "spool", "--token", "stdin", stdin=b"s3cret\n", descriptors=128)
        )
        for begun in (b"", b"GET /", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"):
            for _ in range(100):
                idle = socket.create_connection(("127.0.0.1", replica.port), WAIT_S)
                stack.enter_context(idle)
                idle.sendall(begun)
            for _ in range(3):
                assert replica.get("/v1/models", {"authorization": "Bearer s3cret"})[0] == 200


@pytest.mark.parametrize("stdin", [b"", b"x" * 2000])
def test_a_token_that_does_not_come(tmp_path: Path, stdin: bytes) -> None:
    """A replica that is to have a token and gets none does not begin without one."""
    command = [sys.executable, "-m", "inferworks.hardware.engines.embedded.serve", "--token", "stdin",
               "--replica", "r1", "--node", "n1", "--spool", str(tmp_path / "spool")]  # fmt: skip
    ended = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=WAIT_S)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"the first line of standard input must be the token\n"
