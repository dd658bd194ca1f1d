"""Configuration is typed, refuses what it does not know, and is documented from its own rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferworks.config import Config, load
from inferworks.errors import ConfigError


def test_without_file_and_environment_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start needs no configuration at all."""
    monkeypatch.chdir(tmp_path)
    assert load(None, {}) == Config()


def test_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`inferworks.toml` counts without being named."""
    (tmp_path / "inferworks.toml").write_text("[gateway]\nport = 9000\n")
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).gateway.port == 9000


def test_the_environment_wins(tmp_path: Path) -> None:
    """A variable overrides the file, in its setting's type."""
    path = tmp_path / "inferworks.toml"
    path.write_text("[gateway]\nport = 9000\n")
    config = load(path, {"INFERWORKS_GATEWAY_PORT": "9001", "INFERWORKS_API_KEY": "not ours"})
    assert config.gateway.port == 9001


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gateway]\nprt = 1", "unknown setting gateway.prt; did you mean gateway.port?"),
        ("[gatway]\nport = 1", "unknown setting gatway; did you mean gateway?"),
        ("[gateway]\nport = 'x'", "gateway.port: expected int, got str"),
        ("[gateway]\nport = 70000", "gateway.port: expected int <= 65535"),
        ("[engine]\nreplicas = 1.5", "engine.replicas: expected int, got float"),
        ("gateway = 3", "gateway: expected object, got int"),
        ("port 3", "not valid TOML"),
        ("[[upstream]]\nname = 'x'", r"upstream\[0\]: object missing required field url"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong is named with its file and its setting, in one line."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load(path, {})
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    """A file that was asked for must be there."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such configuration file"):
        load(Path("nowhere.toml"), {})


def test_a_wrong_variable_is_named() -> None:
    """A variable that names no setting is refused with the nearest one."""
    with pytest.raises(ConfigError, match="did you mean INFERWORKS_GATEWAY_PORT"):
        load(None, {"INFERWORKS_GATEWAY_PROT": "1"})
    with pytest.raises(ConfigError, match=r"environment: gateway\.port"):
        load(None, {"INFERWORKS_GATEWAY_PORT": "many"})
