"""vllm-router: in Rust, without keys or metering. It asks its worker for `/health` first."""

from __future__ import annotations

from gateways.base import Peer, Place, Started, pip_install, pip_version
from gateways.calls import Target

_REQUIREMENT = "vllm-router==0.1.17"


def _start(place: Place) -> Started:
    command = [
        str(place.home / "bin" / "vllm-router"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
        *("--worker-urls", f"http://127.0.0.1:{place.upstream}"),
        *("--policy", "round_robin"),
    ]
    return Started(command, Target(place.port))


PEER = Peer(
    "vllm-router",
    pip_version("vllm-router"),
    lambda home: pip_install(home, _REQUIREMENT),
    _start,
)
