"""Plans for this machine, from a configuration as it stands."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from inferworks.catalog.providers import ProviderRow
from inferworks.config import Config, Engine, Gateway, Upstream
from inferworks.errors import ConfigError
from inferworks.folder import DataFolder
from inferworks.wiring import planner, rates
from inferworks.wiring.discover import Found
from inferworks.wiring.plan import EMBEDDED_MODEL, Own
from inferworks.wiring.planner import Planner

DAY = dt.date(2026, 11, 21)
FOUND = Found("vllm", "http://127.0.0.1:8000/v1", ("found",))
WANTED = Upstream(
    name="mine", models=("wanted",), provider="openai-compatible", url="https://mine.example/v1"
)


@pytest.fixture(autouse=True)
def no_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list without prices: the real one takes half a second to read."""
    listed = SimpleNamespace(list_price=lambda *_: None)
    monkeypatch.setattr(rates, "list_prices", lambda _: listed)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ports that each search for engines left out; each finds `FOUND`."""
    skipped: list[list[int]] = []

    async def discover(rows: tuple[ProviderRow, ...], *, skip: list[int]) -> list[Found]:
        assert any(row.local for row in rows)
        skipped.append(skip)
        return [FOUND]

    monkeypatch.setattr(planner, "discover", discover)
    return skipped


def planner_at(path: Path) -> Planner:
    """A planner without a key in its environment."""
    return Planner({}, DataFolder(path))


@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_replicas_have_a_place_when_there_are_any(tmp_path: Path, replicas: int) -> None:
    """Their number is no matter of the plan."""
    plan = planner_at(tmp_path).plan_offline(Config(engine=Engine(replicas=replicas)), DAY)
    expected = {EMBEDDED_MODEL: (Own(EMBEDDED_MODEL),)} if replicas else {}
    assert dict(plan.places) == expected


def test_engines_are_looked_for_where_that_is_wanted(
    tmp_path: Path, looked: list[list[int]]
) -> None:
    """The gateway's own port is none of theirs; without the setting nobody is asked."""
    here = planner_at(tmp_path)
    for discover in (False, True):
        config = Config(
            engine=Engine(replicas=0),
            gateway=Gateway(discover=discover, port=4321),
            upstream=(WANTED,),
        )
        plan = asyncio.run(here.plan(config))
        assert set(plan.places) == ({"wanted", "found"} if discover else {"wanted"})
        assert config.upstream == (WANTED,), "what was found is no part of the configuration"
    assert looked == [[4321]]


def test_a_known_engine_is_not_found_again(tmp_path: Path, looked: list[list[int]]) -> None:
    """An upstream of the configuration at the same address goes before."""
    known = msgspec.structs.replace(FOUND.upstream, name="known")
    config = Config(engine=Engine(replicas=0), gateway=Gateway(discover=True), upstream=(known,))
    plan = asyncio.run(planner_at(tmp_path).plan(config))
    assert [account.name for account in plan.accounts] == ["known"]
    assert len(looked) == 1


def test_mistakes_are_refused(tmp_path: Path) -> None:
    """An upstream of an unknown provider is named, in a plan made either way."""
    config = Config(
        engine=Engine(replicas=0),
        upstream=(msgspec.structs.replace(WANTED, provider="opnai"),),
    )
    with pytest.raises(ConfigError, match=r"unknown provider 'opnai'; did you mean openai\?"):
        planner_at(tmp_path).plan_offline(config, DAY)
    with pytest.raises(ConfigError, match="unknown provider 'opnai'"):
        asyncio.run(planner_at(tmp_path).plan(config))
