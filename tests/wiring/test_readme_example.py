"""The README's configuration is one that would start."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from inferworks.cloud.routing.policy import Strategy
from inferworks.ids import ModelId
from inferworks.wiring.plan import Plan

PlanOf = Callable[..., Plan]

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
KEYS = {"OPENAI_API_KEY": "sk-a", "ANTHROPIC_API_KEY": "sk-b"}


def test_the_configuration_of_the_readme_can_be_planned(plan_of: PlanOf) -> None:
    """A model in front of two providers, in the order of its offers, with the strategy that it names."""
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    plan = plan_of(example, KEYS)
    model = ModelId("assistant")
    assert plan.policies[model].strategy == Strategy.CHEAPEST
    assert len(plan.places[model]) == 2
