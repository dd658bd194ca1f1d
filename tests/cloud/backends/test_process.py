"""Replicas as processes: what they are told, and what they inherit."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.cloud.backends.process import ProcessBackend, bare
from inferworks.ids import ModelId, NodeId, ReplicaId

SPEC = ReplicaSpec(ReplicaId("r1"), NodeId("n1"), ModelId("m"), 1)
CHILD = """
import json, os, sys
line = sys.stdin.readline()
with open(sys.argv[1], "w") as file:
    json.dump({"token": line, "argv": sys.argv, "environment": dict(os.environ)}, file)
print(json.dumps({"event": "ready", "port": 1}), flush=True)
sys.stdin.read()
"""
SECRETS = ("OPENAI_API_KEY", "UPSTREAM_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "DATABASE_URL",
           "HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "INFERWORKS_OBSERVE_TRACES_URL",
           "PYTHON_KEYRING_BACKEND", "VLLM_API_KEY", "PGPASSWORD", "NVIDIA_API_KEY")  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_inherited(name: str) -> None:
    """A variable that might be a secret of ours is not passed on, whatever its name."""
    assert bare({name: "s3cret", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_what_a_replica_needs_is_inherited() -> None:
    """Paths, languages, and the settings of its libraries and chips."""
    names = ("PATH", "HOME", "LC_ALL", "TZ", "PYTHONPATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
             "LD_LIBRARY_PATH", "VIRTUAL_ENV")  # fmt: skip
    needed = dict.fromkeys(names, "x")
    assert bare(needed) == needed


ANSWERS = """
import json, socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(json.dumps({"event": "ready", "port": server.getsockname()[1]}), flush=True)
    while True:
        client, _ = server.accept()
        with client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 401 Unauthorized\\r\\n\\r\\n")
"""


@pytest.mark.slow
def test_a_stopped_process_answers_nothing_and_can_be_killed(tmp_path: Path) -> None:
    """SIGSTOP: connections are still taken, by the kernel, and nothing comes back."""

    def command(_spec: ReplicaSpec, _spool: Path) -> Sequence[str]:
        return [sys.executable, "-c", ANSWERS]

    async def main() -> None:
        replica = await ProcessBackend(command, "t0ken").start(SPEC, tmp_path / "spool", 30.0)
        await replica.answer()
        replica._process.send_signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await replica.answer()
        await replica.kill()
        assert await replica.wait() == "killed by signal 9"
        with pytest.raises(ConnectionRefusedError):
            await replica.answer()

    asyncio.run(main())


def test_a_child_is_told_the_token_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token comes by standard input; neither command line nor environment has it, nor a key of ours."""
    for name in SECRETS:
        monkeypatch.setenv(name, "s3cret")
    said = tmp_path / "said.json"

    def command(_spec: ReplicaSpec, _spool: Path) -> Sequence[str]:
        return [sys.executable, "-c", CHILD, str(said)]

    async def main() -> None:
        replica = await ProcessBackend(command, "t0ken").start(SPEC, tmp_path / "spool", 30.0)
        await replica.stop(0.0)

    asyncio.run(main())
    heard = json.loads(said.read_text())
    assert heard["token"] == "t0ken\n"
    assert "t0ken" not in str((heard["argv"], heard["environment"]))
    assert "s3cret" not in str(heard["environment"])
