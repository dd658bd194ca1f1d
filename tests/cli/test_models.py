"""The served models on the command line, with their offers and prices, and engines that were found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.command_line import document, run

from inferworks.wiring.discover import Found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def served(folder: Path, *upstreams: str) -> None:
    """Configure upstreams of a model `m`."""
    tables = (f'[[upstream]]\nmodels = ["m"]\n{one}\n' for one in upstreams)
    (folder / "inferworks.toml").write_text("".join(tables))


def test_models_are_listed_with_their_offers(folder: Path) -> None:
    """Each model shows who offers it, where, on what and for how much; no key is needed for that."""
    (folder / "inferworks.toml").write_text(
        '[[upstream]]\nname = "lpu"\nprovider = "groq"\nmodels = ["m"]\nregion = "us"\n'
        'weight = 3\ninput_price = "0.15"\noutput_price = "0.6"\n'
        '[[model]]\nname = "m"\nfallbacks = ["inferworks-tiny"]\nstrategy = "cheapest"\n'
    )
    listed = document("models", "list")
    (model,) = [model for model in listed if model["model"] == "m"]
    assert model["strategy"] == "cheapest"
    first, second = model["offers"]
    assert {key: first[key] for key in ("offer", "provider", "region", "chip")} == {
        "offer": "lpu/m", "provider": "groq", "region": "us", "chip": "lpu",
    }  # fmt: skip
    assert (first["input_price"], first["output_price"]) == ("0.15", "0.60")
    assert first["on_leave"] == "drain"
    assert second["offer"] == "inferworks/inferworks-tiny"
    assert (first["fallback"], second["fallback"]) == (0, 1)
    table = run("models", "list").output
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert lines[lines.index("m (cheapest)") + 1 :][:2] == [
        "lpu/m 1 x3 groq us lpu 0.15 / 0.60",
        "inferworks/inferworks-tiny 2 inferworks local cpu -",
    ]
    assert all(len(line) <= 80 for line in table.splitlines())


@pytest.mark.parametrize(
    ("price", "shown"),
    [("0", "0.00"), ("3", "3.00"), ("0.5", "0.50"), ("0.123456", "0.123456"), ("1000", "1000.00")],
)
def test_a_price_is_exact_with_two_places_at_least(folder: Path, price: str, shown: str) -> None:
    """Dollars per million tokens, as they were configured."""
    served(
        folder,
        f'name = "a"\nurl = "http://x"\ninput_price = "{price}"\noutput_price = "{price}"',
    )
    [offer] = next(one["offers"] for one in document("models", "list") if one["model"] == "m")
    assert (offer["input_price"], offer["output_price"]) == (shown, shown)
    assert f"{shown} / {shown}" in run("models", "list").stdout


def test_turns_are_numbered_from_one(folder: Path) -> None:
    """Offers of one priority share a turn; one without a price, region or chip has a dash."""
    served(
        folder,
        'name = "a"\nurl = "http://a"\npriority = 5',
        'name = "b"\nurl = "http://b"\npriority = 2',
        'name = "c"\nurl = "http://c"\npriority = 5\nweight = 0.5',
    )
    lines = [" ".join(line.split()) for line in run("models", "list").stdout.splitlines()]
    offers = {line.split()[0]: line.split()[1:] for line in lines if "/m " in line}
    assert {name: words[0] for name, words in offers.items()} == {
        "a/m": "2",
        "b/m": "1",
        "c/m": "2",
    }
    assert offers["c/m"][1] == "x0.5"
    assert offers["b/m"][-3:] == ["-", "-", "-"]


def test_discovery_prints_one_document() -> None:
    """Programs get JSON, whatever is on this machine."""
    assert isinstance(document("models", "discover"), list)


def found(monkeypatch: pytest.MonkeyPatch, engines: Sequence[Found]) -> None:
    """Let discovery find these engines."""

    async def discover(_: object) -> Sequence[Found]:
        return engines

    monkeypatch.setattr("inferworks.cli.models.discover", discover)


def test_engines_are_shown_with_the_configuration_that_serves_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A table and the lines for the file; where nothing answers, one line says so."""
    engine = Found("vllm", "http://127.0.0.1:8000/v1", ("m", "n"))
    found(monkeypatch, [engine])
    shown = run("models", "discover").stdout
    assert "To serve them, write into inferworks.toml:" in shown
    assert "[[upstream]]" in shown
    assert "m, n" in shown
    [told] = document("models", "discover")
    assert (told["provider"], told["models"]) == ("vllm", ["m", "n"])
    assert told["toml"] in shown + "\n"
    found(monkeypatch, [])
    assert run("models", "discover").stdout == (
        "No engine answers on its usual port (inferworks providers list --local).\n"
    )
