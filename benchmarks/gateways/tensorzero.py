"""TensorZero: in Rust, with its observability off, since that wants a ClickHouse beside it.

Its gateway comes as a container; the Python package has the same one in it, which this starts.
"""

from __future__ import annotations

from gateways.base import Peer, Place, Started, pip_install, pip_version
from gateways.calls import MODEL, Target

_REQUIREMENT = "tensorzero==2026.6.0"
_CONFIG = """
[gateway]
observability.enabled = false

[models.{model}]
routing = ["mock"]

[models.{model}.providers.mock]
type = "openai"
model_name = "{model}"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""
_PROGRAM = """
import signal, sys
from tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None,
    async_setup=False,
)
print(gateway.base_url, flush=True)
signal.pause()
"""


def _start(place: Place) -> Started:
    config, program = place.scratch / "tensorzero.toml", place.scratch / "start.py"
    text = _CONFIG.format(model=MODEL, upstream=place.upstream)
    config.write_text(text, encoding="utf-8")
    program.write_text(_PROGRAM, encoding="utf-8")
    command = [str(place.home / "bin" / "python"), str(program), str(config)]
    model = f"tensorzero::model_name::{MODEL}"
    target = Target(place.port, "/openai/v1/chat/completions", model)
    return Started(command, target, port_said=r"http://[\d.]+:(\d+)/openai")


PEER = Peer(
    "tensorzero",
    pip_version("tensorzero"),
    lambda home: pip_install(home, _REQUIREMENT),
    _start,
)
