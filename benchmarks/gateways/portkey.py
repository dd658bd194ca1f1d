"""Portkey: on Node, without keys or metering, which its hosted service has."""

from __future__ import annotations

import json
from pathlib import Path

from gateways.base import Peer, Place, Started, npm_install
from gateways.calls import Target

_NAME = "@portkey-ai/gateway"
_PACKAGE = {
    "dependencies": {_NAME: "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.7"},
}
"""Package with a pinned server: a newer one of Hono's answers streams with 500 (Portkey-AI/gateway#1389).
"""


def _folder(home: Path) -> Path:
    return home / "node_modules" / _NAME


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


PEER = Peer("portkey", _version, lambda home: npm_install(home, _PACKAGE), _start)
