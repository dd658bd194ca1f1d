"""Peers: a budget of money at LiteLLM and at two gateways of ours, and what is spent of it.

As many callers as in `budget` call until each is refused, with prices so that `budget_pico` pays for
`pays_calls` calls; an answer takes the same upstream 50 to 100 ms. `spent_pico` is what the calls that came
to the upstream cost, `over_pico` how much more than the budget that is, and `over_percent` the same as a
share of it.

LiteLLM runs as one process, which is its best case: several would need Redis to add up. Its budget is the
`max_budget` of a deployment, which its documentation says is spent before the deployment is not used any
more (docs.litellm.ai/docs/proxy/provider_budget_routing). Budgets of its keys and users need a database and
its client's engines, which are no Python package. It is installed with pip into a folder of its own, kept
for the next time; where it cannot be installed or does not run, its part says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop

from gateways import litellm
from gateways.base import CannotInstall
from gateways.calls import MODEL, Target
from gateways.processes import NotRunning, free_port, running
from limit_sections.base import Options
from limit_sections.budget import CALLERS, NODES
from limit_sections.callers import call_until_refused
from limit_sections.cluster import CUSTOMER, INPUT_PICO, OUTPUT_PICO, nodes, postgres
from limit_sections.upstream import slow_upstream

_PAYS_CALLS: Final = 500
_CALL_PICO: Final = 20 * INPUT_PICO + 66 * OUTPUT_PICO
"""Price of a call by the tokens of the upstream's answer."""
_BUDGET_PICO: Final = _PAYS_CALLS * _CALL_PICO
_CONFIG: Final = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: none
      input_cost_per_token: {input}
      output_cost_per_token: {output}
      max_budget: {budget}
      budget_duration: 1d
litellm_settings:
  num_retries: 0
"""


def measure_peers(options: Options) -> dict[str, object]:
    """Return the figures of each gateway; of one that cannot run, the reason."""
    found: dict[str, object] = {
        "callers": CALLERS,
        "pays_calls": _PAYS_CALLS,
        "budget_pico": _BUDGET_PICO,
        "inferworks": _ours(options.folder),
    }
    try:
        found["litellm"] = _litellm(options.folder, options.peers)
    except (CannotInstall, NotRunning, OSError) as error:
        found["litellm"] = f"left out: {error}".splitlines()[0]
    return found


def _ours(folder: Path) -> Mapping[str, object]:
    dollars = f"{_BUDGET_PICO / 10**12:.6f}"
    limit = ("--customer", CUSTOMER, "--money", dollars, "--currency", "USD")
    with (
        slow_upstream(0.05, 0.1) as upstream,
        postgres() as store,
        nodes(folder, NODES, upstream.port, store.url, [limit]) as gateways,
    ):
        fates = uvloop.run(call_until_refused([one.target for one in gateways], CALLERS))
    return {"processes": NODES, **_spent(upstream.calls), "failed": fates.failed}


def _litellm(folder: Path, home: Path) -> Mapping[str, object]:
    place = home / litellm.PEER.name
    if litellm.PEER.version(place) is None:
        litellm.PEER.install(place)
    port = free_port()
    with slow_upstream(0.05, 0.1) as upstream:
        config = folder / "litellm.yaml"
        prices = {"input": INPUT_PICO / 10**12, "output": OUTPUT_PICO / 10**12}
        text = _CONFIG.format(
            model=MODEL, upstream=upstream.port, budget=_BUDGET_PICO / 10**12, **prices
        )
        config.write_text(text, encoding="utf-8")
        command = [str(place / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1"]
        with running(command, folder / "litellm.log", litellm.ENVIRONMENT) as process:
            process.wait_until(lambda: "Uvicorn running" in process.log())
            fates = uvloop.run(call_until_refused([Target(port)], CALLERS))
    version = litellm.PEER.version(place)
    return {"version": version, "processes": 1, **_spent(upstream.calls), "failed": fates.failed}


def _spent(calls: int) -> dict[str, float]:
    spent = calls * _CALL_PICO
    over = max(0, spent - _BUDGET_PICO)
    return {
        "calls": calls,
        "spent_pico": spent,
        "over_pico": over,
        "over_percent": round(100 * over / _BUDGET_PICO, 1),
    }
