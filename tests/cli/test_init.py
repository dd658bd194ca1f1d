"""`inferworks init`: a configuration to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import refusal, run

from inferworks.cli.init import TEMPLATE
from inferworks.config import Config, load


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def test_a_configuration_to_begin_with_is_one_that_is_good() -> None:
    """The file as it is says the defaults; with its comments made settings, it is good as well."""
    assert "is written" in run("init").stdout
    assert load(Path("inferworks.toml"), {}) == Config()
    assert "is there already" in refusal("init")
    lines = TEMPLATE.splitlines()
    settings = [
        line.removeprefix("# ") if line.startswith(("# [[", "# ")) and ("=" in line or "[[" in line)
        else line
        for line in lines
    ]  # fmt: skip
    Path("whole.toml").write_text("\n".join(settings))
    config = load(Path("whole.toml"), {})
    assert [upstream.name for upstream in config.upstream] == ["openai", "ours"]
    assert config.model[0].offers == ("openai/gpt-5-mini", "ours/llama-3.3-70b")
