"""The clients that are here anyway do what `make clients` has all of them do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from .conftest import Gateway

pytestmark = pytest.mark.slow

DRIVERS = Path(__file__).parent / "agents"
MODELS = ("native", "claude", "converse")
JOBS = {
    "with_openai_python.py": {"chat": 4, "responses": 4},
    "with_anthropic_python.py": {"messages": 4},
    "with_langchain.py": {"chat": 4, "chat, tool": 1, "responses": 4, "responses, tool": 1},
}
"""Driver -> its ways, and how many jobs it does in each with each model."""


@pytest.mark.parametrize("driver", JOBS)
def test_a_client_does_its_jobs(gateway: Gateway, driver: str, tmp_path: Path) -> None:
    """Chats, streams, a loop with a tool, and an answer in a form, whoever serves the model."""
    known = {
        "GATEWAY_URL": gateway.url,
        "GATEWAY_ROOT": gateway.root,
        "GATEWAY_KEY": gateway.key,
        "GATEWAY_MODELS": " ".join(MODELS),
        "CLIENT_FOLDER": str(tmp_path),
        "HOME": str(tmp_path),
        "PYTHONWARNINGS": "ignore",
    }
    ran = subprocess.run(
        [sys.executable, str(DRIVERS / driver)],
        check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **known},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    done = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [job for job in done if job["failed"]] == []
    counts = {way: sum(job["way"] == way for job in done) for way in JOBS[driver]}
    assert counts == {way: count * len(MODELS) for way, count in JOBS[driver].items()}


def test_every_client_has_its_driver() -> None:
    """Drivers and setups that `clients.toml` names are the ones that exist; versions are pinned."""
    known = msgspec.toml.decode((DRIVERS / "clients.toml").read_bytes())
    drivers = {client["driver"] for client in known.values()}
    assert drivers == {path.name for path in DRIVERS.glob("with_*")}
    setups = {client["setup"] for client in known.values() if "setup" in client}
    assert setups == {path.name for path in (DRIVERS / "setups").iterdir()}
    for name, client in known.items():
        first = client.get("pip", client.get("npm"))[0]
        assert first.rpartition("@")[2].rpartition("==")[2].replace(".", "").isdigit(), name
