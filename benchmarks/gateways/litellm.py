"""LiteLLM's proxy, without a database: so without keys, budgets or spend."""

from __future__ import annotations

from gateways.base import Peer, Place, Started, pip_install, pip_version
from gateways.calls import MODEL, Target

_REQUIREMENT = "litellm[proxy]!=1.82.7,!=1.82.8"
"""The newest that can be installed; the two left out carried a backdoor (MAL-2026-2144)."""
_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: none
"""
ENVIRONMENT = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def _start(place: Place) -> Started:
    config = place.scratch / "litellm.yaml"
    config.write_text(_CONFIG.format(model=MODEL, upstream=place.upstream), encoding="utf-8")
    command = [
        str(place.home / "bin" / "litellm"),
        *("--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(place.port)),
        *("--num_workers", "1"),
    ]
    return Started(command, Target(place.port), ENVIRONMENT)


PEER = Peer(
    "litellm",
    pip_version("litellm"),
    lambda home: pip_install(home, _REQUIREMENT),
    _start,
)
