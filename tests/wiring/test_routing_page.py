"""docs/routing.md says what is so: its examples can be planned, and no strategy or setting is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.ids import ModelId
from inferworks.wiring.plan import Plan

PlanOf = Callable[..., Plan]

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
AROUND = """
    [[upstream]]
    name = "openai"
    url = "http://127.0.0.1:1/v1"
    models = ["gpt-5", "small"]
    region = "eu-west-1"

    [[upstream]]
    name = "azure-eu"
    url = "http://127.0.0.1:2/v1"
    models = ["gpt-5", "small"]
"""
"""Configuration that the examples take for granted."""


def as_written(example: str) -> str:
    """An example, as deep as what stands around it."""
    return "".join(f"    {line}\n" if line else "\n" for line in example.splitlines())


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_can_be_planned(plan_of: PlanOf, example: str) -> None:
    """Each block of the page is a configuration that would start, with a policy of its own."""
    plan = plan_of(AROUND + as_written(example))
    if "[[model]]" in example:
        (policy,) = plan.policies.values()
        said = re.search(r'^strategy = "(.*)"', example, re.MULTILINE)
        assert policy.strategy == (said[1] if said else Strategy.LEAST_LOADED)
        (name,) = plan.policies
        assert plan.places[ModelId(name)]
    else:
        assert plan.breaker == BreakerPolicy()  # the page shows the defaults


def test_no_strategy_and_no_setting_is_left_out() -> None:
    """Every strategy has an example, and every setting of a policy is on the page."""
    shown = {
        match for e in EXAMPLES for match in re.findall(r'^strategy = "(.*)"', e, re.MULTILINE)
    }
    assert shown == set(Strategy)
    for policy in (RoutePolicy, BreakerPolicy):
        for field in msgspec.structs.fields(policy):
            assert field.name in PAGE or field.name == "strategy", field.name
