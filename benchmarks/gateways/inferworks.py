"""This gateway as a user starts it, with authentication, limits and durable metering on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import inferworks
from gateways.base import Peer, Place, Started
from gateways.calls import MODEL, Target
from inferworks.folder import DataFolder

_CONFIG = """
[gateway]
max_calls = 10000
workers = {workers}

[engine]
replicas = 0

[[upstream]]
name = "mock"
url = "http://127.0.0.1:{upstream}/v1"
models = ["{model}"]
"""


def _start(place: Place, workers: int) -> Started:
    config, folder = place.scratch / "inferworks.toml", DataFolder(place.scratch / "data")
    settings = _CONFIG.format(upstream=place.upstream, model=MODEL, workers=workers)
    config.write_text(settings, encoding="utf-8")
    program = [sys.executable, "-m", "inferworks"]
    where = ["--config", str(config), "--data", str(folder.path)]
    secret = _key([*program, "keys", "create", "--json", *where])
    return Started(
        [*program, "up", "--port", str(place.port), *where],
        Target(place.port, headers=(("authorization", f"Bearer {secret}"),)),
        journal=folder.journal,
    )


def _key(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    secret: str = json.loads(result.stdout)["key"]
    return secret


def _install(_home: Path) -> None:
    """Do nothing: the gateway runs from this checkout."""


def peer(workers: int) -> Peer:
    """This gateway with so many workers."""

    def start(place: Place) -> Started:
        return _start(place, workers)

    return Peer("inferworks", lambda _home: inferworks.__version__, _install, start)


PEER = peer(1)
