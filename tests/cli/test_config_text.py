"""A configuration as the text of an `inferworks.toml` that reads back the same."""

from __future__ import annotations

import re
import tomllib

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferworks.cli.config_text import config_toml, upstreams_toml
from inferworks.config import Config, Gateway, Upstream


def read(text: str) -> Config:
    """The configuration that a file says."""
    return msgspec.convert(tomllib.loads(text), Config)


def test_the_defaults_are_an_empty_file() -> None:
    """Only what differs is written, unless everything is asked for."""
    assert config_toml(Config()) == ""
    everything = config_toml(Config(), everything=True)
    assert read(everything) == Config()
    assert "[gateway]\n" in everything


def test_a_setting_is_written_in_its_table() -> None:
    """A repeated table is written once for each."""
    config = Config(
        gateway=Gateway(port=1234),
        upstream=tuple(Upstream(name=name, url="https://h", models=("m",)) for name in "ab"),
    )
    text = config_toml(config)
    assert text.startswith("[gateway]\nport = 1234\n\n[[upstream]]\n")
    assert text.count("[[upstream]]") == 2
    assert read(text) == config
    assert upstreams_toml(config.upstream) == text[text.index("[[upstream]]") :]


@settings(max_examples=60)
@example(["\x7f\x00\u2028", '"', "\\"])
@given(st.lists(st.text().filter(lambda text: re.search(r"\S", text)), min_size=1, max_size=3))
def test_any_text_reads_back(models: list[str]) -> None:
    """Quotes, line breaks, and signs that a terminal hears."""
    config = Config(upstream=(Upstream(name="a", url="https://h", models=tuple(models)),))
    assert read(config_toml(config)) == config
