"""Configurations for the tests of this folder, written as their users write them."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from inferworks.catalog.providers import provider_catalog
from inferworks.cloud.offer import Rates
from inferworks.config import load
from inferworks.ids import ModelId
from inferworks.wiring.plan import Plan, make_plan

DAY = dt.date(2026, 11, 21)
LISTED = Rates(250_000, 2_000_000)
"""Prices of every seller but the unknown ones in these tests."""

PlanOf = Callable[..., Plan]


def rates_of(seller: str, _model: str) -> Rates | None:
    """The list price of the sellers that the tests know."""
    return LISTED if seller in {"openai", "groq", "google"} else None


@pytest.fixture
def plan_of(tmp_path: Path) -> PlanOf:
    """The plan of a configuration given as text."""

    def make(text: str, environment: Mapping[str, str] | None = None, *own: str) -> Plan:
        path = tmp_path / "inferworks.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return make_plan(
            load(path, {}),
            environment or {},
            provider_catalog(),
            rates_of,
            own=[ModelId(model) for model in own],
            day=DAY,
        )

    return make
