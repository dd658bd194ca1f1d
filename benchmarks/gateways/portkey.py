"""Portkey: on Node, without keys or metering, which its hosted service has."""

from __future__ import annotations

import json
from pathlib import Path

from gateways.base import Peer, Place, Started, npm_install
from gateways.calls import Target

_PACKAGE = "@portkey-ai/gateway"
_VERSION = "1.15.2"


def _folder(home: Path) -> Path:
    return home / "node_modules" / _PACKAGE


def _start(place: Place) -> Started:
    program = _folder(place.home) / "build" / "start-server.js"
    upstream = f"http://127.0.0.1:{place.upstream}/v1"
    headers = (
        ("authorization", "Bearer none"),
        ("x-portkey-provider", "openai"),
        ("x-portkey-custom-host", upstream),
    )
    command = ["node", str(program), f"--port={place.port}", "--headless"]
    return Started(command, Target(place.port, headers=headers))


def _version(home: Path) -> str | None:
    told = _folder(home) / "package.json"
    return json.loads(told.read_text(encoding="utf-8"))["version"] if told.exists() else None


PEER = Peer("portkey", _version, lambda home: npm_install(home, f"{_PACKAGE}@{_VERSION}"), _start)
