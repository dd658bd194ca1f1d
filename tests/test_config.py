"""Configuration is typed, refuses what it does not know, and is documented from its own rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect

from inferworks.config import Config, Renamed, load
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
        ("[[upstream]]\nname = 'x'", r"upstream\[0\]: object missing required field models"),
        (
            "[[upstream]]\nnmae = 'x'",
            r"unknown setting upstream\[0\]\.nmae; did you mean upstream.name\?",
        ),
        (
            "[[model]]\nname = 'm'\nofers = []",
            r"unknown setting model\[0\]\.ofers; did you mean model.offers",
        ),
        (
            "[[upstream]]\nname = 'x'\nmodels = ['m']\nkey = 'sk-1'",
            "upstream x: key: .* name where the key is kept",
        ),
        ("[[upstream]]\nname = 'x'\nmodels = [3]", r"upstream\[0\]\.models\[0\]: expected"),
        (
            "[[upstream]]\nname = 'x'\nmodels = ['m']\ninput_price = 0.1",
            "input_price: expected str, got float",
        ),
        ("[meter]\ncheckpoint_s = inf", "meter.checkpoint_s: must be at most 1000000000"),
        (
            "[[upstream]]\nname = 'x'\nmodels = ['m']\nconnect_s = inf",
            "upstream.connect_s: must be at most 1000000000",
        ),
        (
            "[[upstream]]\nname = 'x'\nmodels = ['m']\ninput_price = '1e9'",
            "input_price: expected an amount with at most six decimals, such as 0.50, got '1e9'",
        ),
        ("[gateway]\nhost = '999.1.1.1'", "gateway.host: '999.1.1.1' is no address"),
        ("[gateway]\nhost = '::1::'", "gateway.host: '::1::' is no address"),
        (
            "[observe]\nmetrics_listen = '127.0.0.1:65536'",
            "observe.metrics_listen: expected HOST:PORT with .*, got '127.0.0.1:65536'",
        ),
        (
            "[observe]\nmetrics_listen = '127.0.0.256:80'",
            "observe.metrics_listen: '127.0.0.256' is no",
        ),
        (
            "[books]\nrecoverable_taxes = ['VAT', ' ']",
            r"recoverable_taxes\[1\]: expected a text that is not blank, got ' '",
        ),
        ("[books]\nspark_master = 'here'", "books.spark_master: expected local, .*, got 'here'"),
        ("[books]\nengine = 'Auto'", "books.engine: 'Auto' is none of .*; did you mean auto"),
        ("[books]\ncurrency = 'usd'", "books.currency: expected three capital .*, got 'usd'"),
        (
            "[[books.suppliers]]\nname = 'A'\naccrue = 'Mean'",
            r"books.suppliers\[0\].accrue: expected last, average, .*, got 'Mean'",
        ),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """A wrong setting is named with its file, in one line."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load(path, {})
    assert str(caught.value).startswith((str(path), "gateway.host", "observe.metrics_listen"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::", "::1", "0.0.0.0", "localhost", "a.example", ""]
)
def test_addresses_and_names_are_hosts(tmp_path: Path, host: str) -> None:
    """Addresses of both kinds and names are taken as they are; IPv6 stands in brackets before a port."""
    path = tmp_path / "mine.toml"
    listen = f"[{host}]:80" if ":" in host else f"{host}:65535" if host else ""
    path.write_text(f"gateway.host = '{host}'\nobserve.metrics_listen = '{listen}'\n")
    assert load(path, {}).gateway.host == host


def test_every_pattern_of_a_setting_says_its_form_in_words() -> None:
    """No user is shown a regular expression."""
    bare: list[str] = []

    def look(kind: Any, place: str, has_form: bool = False) -> None:
        if isinstance(kind, inspect.Metadata):
            look(kind.type, place, "form" in (kind.extra or {}))
        elif isinstance(kind, inspect.StrType) and kind.pattern and not has_form:
            bare.append(place)
        for field in getattr(kind, "fields", ()):
            look(field.type, f"{place}.{field.name}")
        for inner in getattr(kind, "types", ()):
            look(inner, place)
        if isinstance(kind, inspect.VarTupleType):
            look(kind.item_type, place)

    look(inspect.type_info(Config), "")
    assert bare == []


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Each mistake in its line below their number; the environment is looked at after the file."""
    path = tmp_path / "mine.toml"
    path.write_text(
        "prot = 1\n[gateway]\nprot = 8080\nmax_calls = 'many'\n[meter]\ncheckpoint_s = -1\n"
        "[[upstream]]\nname = 'x'\n[[upstream]]\nname = 'y'\nmodels = ['m', { name = 'n', as = 'o' }]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {"INFERWORKS_GATEWAY_PROT": "1"})
    assert str(caught.value).splitlines() == [
        "6 mistakes:",
        f"  {path}: unknown setting prot; see docs/configuration.md",
        f"  {path}: unknown setting gateway.prot; did you mean gateway.port?",
        f"  {path}: gateway.max_calls: expected int, got str",
        f"  {path}: meter.checkpoint_s: expected float > 0.0, got -1",
        f"  {path}: upstream[0]: object missing required field models",
        f"  {path}: unknown setting upstream[1].models[1].as; see docs/configuration.md",
    ]
    path.write_text(
        "[gateway]\ncors_origins = ['x']\n[[upstream]]\nname = 'x'\nmodels = ['m']\nkey = 'sk-1'\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert [line.partition(":")[0].strip() for line in str(caught.value).splitlines()] == [
        "2 mistakes",
        "gateway.cors_origins",
        str(path),
    ]
    with pytest.raises(ConfigError) as caught:
        load(None, {"INFERWORKS_GATEWAY_PROT": "1", "INFERWORKS_GATEWAY_PORT": "many"})
    assert str(caught.value).splitlines() == [
        "2 mistakes:",
        "  environment: INFERWORKS_GATEWAY_PROT names no setting; did you mean INFERWORKS_GATEWAY_PORT?",
        "  environment: gateway.port: expected int, got str",
    ]


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
    with pytest.raises(
        ConfigError, match=r"INFERWORKS_UPSTREAM_KEY names no setting(?!.*UPSTREAM)"
    ):
        load(None, {"INFERWORKS_UPSTREAM_KEY": "sk-1"})


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """Some editors put one there, and show nothing of it."""
    path = tmp_path / "inferworks.toml"
    path.write_text("[gateway]\nport = 9\n", encoding="utf-8-sig")
    assert load(path, {}).gateway.port == 9


def test_a_key_in_the_file_is_refused_unread(tmp_path: Path) -> None:
    """A literal key is refused with what to write instead, and appears in no message."""
    path = tmp_path / "mine.toml"
    path.write_text("[[upstream]]\nname = 'x'\nmodels = ['m']\nkey = 'sk-secret-1'\n")
    with pytest.raises(ConfigError, match="env:VARIABLE") as caught:
        load(path, {})
    assert "sk-secret-1" not in str(caught.value)
    path.write_text("[[upstream]]\nname = 'x'\nmodels = ['m']\nkey_variable = 'sk-secret-1'\n")
    with pytest.raises(ConfigError, match="not the name of a variable") as caught:
        load(path, {})
    assert "sk-secret-1" not in str(caught.value)


def test_renamed_models_are_read(tmp_path: Path) -> None:
    """A model is a name, or a name and what its upstream calls it."""
    path = tmp_path / "mine.toml"
    path.write_text(
        "[[upstream]]\nname = 'x'\nkey = 'env:X'\n"
        "models = ['a', { name = 'b', upstream = 'vendor/b-2026' }]\n"
    )
    (upstream,) = load(path, {}).upstream
    assert upstream.models == ("a", Renamed(name="b", upstream="vendor/b-2026"))
