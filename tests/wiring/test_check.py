"""The check of a configuration finds what a start or the books would refuse, and opens nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferworks.config import Books, Config, Data, Engine, Gateway, Lake, Ship, Store
from inferworks.errors import ConfigError
from inferworks.wiring.check import checked


def test_all_that_would_be_refused_later_is_told_at_once(tmp_path: Path) -> None:
    """Each setting that cannot be used is named, from the lake to the chart of accounts."""
    folder = tmp_path / "data"
    config = Config(
        data=Data(folder=str(folder)),
        lake=Lake(url="s4://x"),
        gateway=Gateway(key_pepper="env:NOWHERE"),
        ship=Ship(url="https://hub.example/v1"),
        store=Store(url="mysql://db/x"),
        books=Books(policy="nope", chart=str(tmp_path / "no.toml")),
    )
    with pytest.raises(ConfigError) as caught:
        checked(config, {})
    first, *lines = str(caught.value).splitlines()
    assert first == "6 mistakes:"
    begins = (
        "lake.url: s4://x is no lake",
        "gateway.key_pepper: ",
        "store.url is a postgresql:// URL",
        "ship.url ",
        "books.policy: ",
        "books.chart: ",
    )
    for line, begin in zip(lines, begins, strict=True):
        assert line.strip().startswith(begin)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(books=Books(departments=("growth",))), r"books\.departments: 'growth'"),
        (
            Config(ship=Ship(url="https://h/v1", key="env:HUB"), engine=Engine(node="a")),
            "environment variable HUB is not set",
        ),
    ],
)
def test_one_that_would_be_refused_later_is_told(config: Config, words: str) -> None:
    """Departments that mean none, and the key of a hub that is not there, are refused."""
    with pytest.raises(ConfigError, match=words):
        checked(config, {})


def test_a_good_configuration_gives_its_plan() -> None:
    """The defaults are good, and serve the embedded model."""
    assert list(checked(Config(), {}).places) == ["inferworks-tiny"]
