"""`python -m inferworks.testing.upstreams`: a configuration can be tried at every fake."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from click.testing import CliRunner

from inferworks.config import load
from inferworks.http.client import HttpClient, Origin
from inferworks.testing.upstreams.__main__ import DIALECTS, configuration, main, served
from inferworks.testing.upstreams.script import Fault
from inferworks.wiring import open_platform
from inferworks.wiring.platform import Platform

MODULE = [sys.executable, "-m", "inferworks.testing.upstreams"]
SAYS: dict[str, Any] = {
    "messages": [{"role": "user", "content": 'SAY "It works."'}],
}


async def ask(platform: Platform, model: str) -> tuple[int, Any]:
    """The status and body of a chat with `model`."""
    client = HttpClient()
    headers = [(b"authorization", b"Bearer " + str(platform.first_key).encode())]
    body = msgspec.json.encode({"model": model, **SAYS})
    try:
        async with client.stream(
            "POST", Origin.parse(platform.url), "/chat/completions", headers, body
        ) as response:
            return response.status, msgspec.json.decode(await response.read(10.0, 1 << 20))
    finally:
        client.close()


@asynccontextmanager
async def before(
    folder: Path, status: int = 200, fault: Fault = Fault.NONE
) -> AsyncIterator[Platform]:
    """A gateway before every fake, configured as these say; its models are called as the fakes are."""
    fakes = [served(name, status, fault) for name in DIALECTS]
    tables = [configuration(fake.name, await fake.start(0)) for fake in fakes]
    keys: Mapping[str, str] = dict(
        table.splitlines()[0].removeprefix("# export ").split("=", 1) for table in tables
    )
    renamed = [
        table.replace('models = ["', f'models = [{{ name = "{name}", upstream = "').replace(
            '"]', '"}]'
        )
        for name, table in zip(DIALECTS, tables, strict=True)
    ]
    settings = f'[gateway]\nport = 0\n[data]\nfolder = "{folder}/data"\n[engine]\nreplicas = 0\n'
    path = folder / "inferworks.toml"
    path.write_text("\n".join([settings, *renamed]), encoding="utf-8")
    try:
        async with open_platform(load(path, {}), keys) as platform:
            yield platform
    finally:
        for fake in fakes:
            await fake.server.stop(0.0)


def test_every_fake_takes_the_configuration_that_it_prints(tmp_path: Path) -> None:
    """The printed key and address are good; the fake does what a question says and keeps nothing of it."""

    async def run() -> None:
        async with before(tmp_path) as platform:
            for name in DIALECTS:
                status, body = await ask(platform, name)
                assert (name, status) == (name, 200), body
                assert body["choices"][0]["message"]["content"] == "It works."

    uvloop.run(run())


def test_a_status_is_every_answer(tmp_path: Path) -> None:
    """Each answer has the vendor's own error body, so that fallbacks and retries can be seen."""

    async def run() -> None:
        async with before(tmp_path, 429) as platform:
            for name in DIALECTS:
                assert (name, (await ask(platform, name))[0]) == (name, 429)

    uvloop.run(run())


def two_free_ports() -> int:
    """The first of two ports in a row that nobody has."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second, suppress(OSError, OverflowError):
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            second.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two ports in a row are free")


@pytest.mark.slow
def test_it_prints_where_they_are_and_stops_when_told() -> None:
    """Addresses alone on standard output; the second fake is at the next port."""
    port = two_free_ports()
    with subprocess.Popen(
        [*MODULE, "openai", "anthropic", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        urls = [process.stdout.readline().strip() for _ in range(2)]
        assert urls == [f"http://127.0.0.1:{port}/v1", f"http://127.0.0.1:{port + 1}/v1"]
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'provider = "anthropic"' in told


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    """The error names the port, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = subprocess.run([*MODULE, "--port", port], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Error: port {port} cannot be had: ")
    assert "name another with --port" in ran.stderr


def test_a_dialect_that_there_is_not() -> None:
    """The ones that there are are named."""
    result = CliRunner().invoke(main, ["openia"])
    assert result.exit_code == 2
    assert "bedrock-anthropic" in result.output
    help_text = CliRunner().invoke(main, ["--help"]).output
    assert all(name in help_text for name in DIALECTS)
