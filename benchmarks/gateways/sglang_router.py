"""sglang-router: in Rust, without keys or metering."""

from __future__ import annotations

from gateways.base import Peer, Place, Started, pip_install, pip_version
from gateways.calls import Target
from gateways.processes import free_port

_REQUIREMENT = "sglang-router==0.3.2"


def _start(place: Place) -> Started:
    command = [
        *(str(place.home / "bin" / "sglang-router"), "launch"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
        *("--worker-urls", f"http://127.0.0.1:{place.upstream}"),
        *("--policy", "round_robin"),
        *("--prometheus-port", str(free_port())),
    ]
    return Started(command, Target(place.port))


PEER = Peer(
    "sglang-router",
    pip_version("sglang-router"),
    lambda home: pip_install(home, _REQUIREMENT),
    _start,
)
