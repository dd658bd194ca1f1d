"""A LiteLLM file becomes a configuration that loads, and nothing of it is lost without a word."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.catalog.providers import provider_catalog
from inferworks.cli.config_text import config_toml
from inferworks.cli.litellm.config import import_litellm, read_litellm
from inferworks.clock import SystemClock
from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.route import ELSEWHERE
from inferworks.cloud.routing.route import attempts as route_of
from inferworks.config import Config, Renamed, load
from inferworks.errors import UserError
from inferworks.ids import ModelId
from inferworks.wiring.plan import make_plan

FILE: dict[str, Any] = {
    "model_list": [
        {
            "model_name": "gpt-4o",
            "litellm_params": {
                "model": "azure/gpt-4o-eu",
                "api_base": "https://eu.openai.azure.com/",
                "api_key": "os.environ/AZURE_EU",
                "api_version": "2025-07-01-preview",
                "region_name": "eu",
                "rpm": 6,
            },
            "model_info": {"id": "eu-1", "mode": "chat", "input_cost_per_token": 2.5e-06,
                           "output_cost_per_token": "1e-05"},
        },
        {
            "model_name": "gpt-4o",
            "litellm_params": {"model": "gpt-4o", "api_key": "sk-literal-key", "weight": 2, "order": 1},
        },
        {
            "model_name": "small",
            "litellm_params": {"model": "openai/gpt-5-mini", "api_key": "sk-literal-key", "weight": 2,
                               "order": 1},
        },
        {
            "model_name": "claude",
            "litellm_params": {"model": "anthropic/claude-sonnet-4-5", "timeout": 60,
                               "api_base": "https://api.anthropic.com", "max_parallel_requests": 5},
        },
        {
            "model_name": "local",
            "litellm_params": {"model": "ollama_chat/llama3", "api_base": "http://localhost:11434",
                               "api_key": "none", "stream_timeout": 3},
        },
        {
            "model_name": "mine",
            "litellm_params": {"model": "openai/my-model", "api_base": "os.environ/MY_BASE"},
        },
        {"model_name": "openai/*", "litellm_params": {"model": "openai/*"}},
        {"model_name": "odd", "litellm_params": {"model": "nobody/knows"}},
    ],
    "router_settings": {
        "routing_strategy": "latency-based-routing",
        "num_retries": 2,
        "timeout": 30,
        "retry_after": 1,
        "allowed_fails": 3,
        "cooldown_time": 90,
        "fallbacks": [{"gpt-4o": ["claude", "gone"]}],
        "model_group_alias": {"gpt-4": "gpt-4o"},
        "redis_host": "os.environ/REDIS_HOST",
    },
    "litellm_settings": {"drop_params": True, "success_callback": ["langfuse"]},
    "general_settings": {"master_key": "sk-master", "global_max_parallel_requests": 64},
    "environment_variables": {"LANGFUSE_HOST": "x"},
    "guardrails": [],
}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Config:
    """Configuration made of `FILE`, written and read again."""
    path = tmp_path / "inferworks.toml"
    path.write_text(config_toml(import_litellm(FILE, {"MY_BASE": "http://10.0.0.1/v1"}).config))
    return load(path, {})


def test_deployments_become_upstreams(made: Config) -> None:
    """One account is one upstream; its address, key, place, share and price are taken over."""
    upstreams = {upstream.name: upstream for upstream in made.upstream}
    assert list(upstreams) == ["azure", "openai", "anthropic", "ollama", "openai-compatible"]
    azure = upstreams["azure"]
    assert azure.url == "https://eu.openai.azure.com/openai/v1"
    assert (azure.key, azure.region, azure.weight) == ("env:AZURE_EU", "eu", 6.0)
    assert (azure.input_price, azure.output_price) == ("2.5", "10")
    assert azure.models == (Renamed(name="gpt-4o", upstream="gpt-4o-eu"),)
    openai = upstreams["openai"]
    assert openai.models == ("gpt-4o", Renamed(name="small", upstream="gpt-5-mini"))
    assert (openai.key, openai.url, openai.priority) == ("env:OPENAI_API_KEY", "", 1)
    assert upstreams["anthropic"].url == ""
    assert (upstreams["anthropic"].max_calls, upstreams["anthropic"].first_byte_s) == (5, 60.0)
    assert {u.first_byte_s for u in made.upstream if u.name != "anthropic"} == {30.0}
    assert (upstreams["ollama"].url, upstreams["ollama"].key) == ("http://localhost:11434/v1", "")
    assert upstreams["openai-compatible"].url == "http://10.0.0.1/v1"


def test_routing_is_taken_over(made: Config) -> None:
    """Strategy, retries, deadline, fallbacks and aliases hold for every model, as they did."""
    models = {model.name: model for model in made.model}
    assert list(models) == ["gpt-4o", "small", "claude", "local", "mine", "gpt-4"]
    gpt = models["gpt-4o"]
    assert (gpt.strategy, gpt.attempts, gpt.tries_per_offer) == ("fastest", 3, 3)
    assert (gpt.deadline_s, gpt.backoff_ms, gpt.fallbacks) == (0.0, 1000.0, ("claude",))
    assert all(model.lenient for model in made.model)
    assert models["gpt-4"].offers == ("azure/gpt-4o", "openai/gpt-4o")
    assert made.breaker.failures_in_row == 4
    assert (made.breaker.cool_down_s, made.breaker.longest_cool_down_s) == (90.0, 90.0)
    assert made.gateway.max_calls == 64


def test_what_has_no_counterpart_is_named() -> None:
    """Every setting that is not taken over is named once; no key is ever repeated."""
    notes = "\n".join(import_litellm(FILE, {}).notes)
    for name in (
        "litellm_params.api_version", "litellm_params.rpm", "litellm_params.stream_timeout",
        "model_info.mode", "router_settings.redis_host", "router_settings.timeout: taken as first_byte_s",
        "litellm_settings.success_callback", "general_settings.master_key", "guardrails",
        "environment_variables.LANGFUSE_HOST", "model_list.openai/*", "model_list.odd",
        "fallbacks.gpt-4o: there is no model gone", "MY_BASE is not set here",
        "litellm_params.api_key (gpt-4o, small): not copied: put the key into the variable OPENAI_API_KEY",
    ):  # fmt: skip
        assert name in notes, name
    assert "sk-" not in notes
    assert "drop_params" not in notes
    assert "model_info.id" not in notes


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
@pytest.mark.parametrize("kind", ["context_window_fallbacks", "content_policy_fallbacks"])
def test_fallbacks_for_one_kind_of_refusal_are_named(section: str, kind: str) -> None:
    """Fallbacks for one kind of refusal are no fallbacks here, and a note names them."""
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}"}}
        for name in ("small", "large")
    ]
    made = import_litellm({"model_list": models, section: {kind: [{"small": ["large"]}]}}, {})
    assert [model.fallbacks for model in made.config.model] == []
    (note,) = made.notes
    assert note.startswith(f"{section}.{kind}: no counterpart: ")
    assert note.endswith(" is refused")


def test_no_key_is_copied(made: Config) -> None:
    """A key that stood in the old file stands in no new one."""
    assert "sk-" not in config_toml(made)


def test_what_is_made_can_be_planned(made: Config) -> None:
    """With its keys in the environment the new file would start, once each driver is there."""
    keys = dict.fromkeys(("AZURE_EU", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "k")
    served = [u for u in made.upstream if u.provider != "azure"]
    config = Config(upstream=tuple(served))
    plan = make_plan(
        config, keys, provider_catalog(), lambda _s, _m: None, own=[], day=dt.date(2026, 11, 21)
    )
    assert set(plan.places) == {"gpt-4o", "small", "claude", "local", "mine"}


def test_defaults_need_no_table() -> None:
    """A file that routes nothing becomes upstreams alone; a model with two offers is weighted."""
    one = {"model_name": "m", "litellm_params": {"model": "groq/m"}}
    assert import_litellm({"model_list": [one]}, {}).config.model == ()
    two = [one, {"model_name": "m", "litellm_params": {"model": "together_ai/m"}}]
    (model,) = import_litellm({"model_list": two}, {}).config.model
    assert (model.name, model.strategy) == ("m", "weighted")


def groups(*names: str) -> list[dict[str, Any]]:
    """A deployment for each model."""
    return [{"model_name": name, "litellm_params": {"model": f"groq/{name}"}} for name in names]


@pytest.mark.parametrize(
    ("retries", "attempts", "tries"),
    [({}, 3, 1), ({"num_retries": 0}, 1, 1), ({"num_retries": 3}, 4, 4)],
)
def test_every_fallback_can_be_reached(retries: dict[str, int], attempts: int, tries: int) -> None:
    """Retries are of each group of deployments, and the chain follows them, however long it is."""
    chain = ["g2", "g3", "g4", "g5", "g6", "g7"]
    document = {
        "model_list": groups("g1", *chain),
        "litellm_settings": {**retries, "fallbacks": [{"g1": chain}]},
    }
    made = import_litellm(document, {})
    (model,) = [model for model in made.config.model if model.name == "g1"]
    assert model.fallbacks == tuple(chain)
    assert (model.attempts, model.tries_per_offer) == (attempts, tries)
    plan = make_plan(
        made.config, {"GROQ_API_KEY": "k"}, provider_catalog(), lambda _s, _m: None, own=[],
        day=dt.date(2026, 11, 21),
    )  # fmt: skip
    places = plan.places[ModelId("g1")]
    offers = [place for place in places if isinstance(place, Offer)]
    health = Health(SystemClock().carried())
    route = route_of(offers, plan.policies[ModelId("g1")], health, 0)
    asked: list[str] = []
    step = next(route, None)
    while step is not None:
        assert step.offer is not None
        asked.append(step.offer.upstream_model or step.offer.model)
        try:
            step = route.send(ELSEWHERE)
        except StopIteration:
            step = None
    assert asked == [name for name in ("g1", *chain) for _ in range(tries)]


@pytest.mark.parametrize(
    ("settings", "fallbacks"),
    [
        ({"fallbacks": [{"a": ["b", "d"]}, {"b": ["c", "a"]}]}, {"a": "bcd", "b": "cad"}),
        ({"fallbacks": [{"a": ["b"]}, {"b": ["c"]}, {"c": ["d"]}], "max_fallbacks": 2},
         {"a": "bc", "b": "cd", "c": "d"}),
        ({"fallbacks": [{"*": ["d"]}, {"a": ["b"]}]}, {"a": "bd", "b": "d", "c": "d"}),
        ({"default_fallbacks": ["d"]}, {"a": "d", "b": "d", "c": "d"}),
        ({"fallbacks": [{"a": ["a", "b", "b"]}]}, {"a": "b"}),
    ],
)  # fmt: skip
def test_fallbacks_bring_their_own(settings: dict[str, Any], fallbacks: dict[str, str]) -> None:
    """Fallbacks go on as LiteLLM does: into the depth first, each group once, so deep and no deeper."""
    document = {"model_list": groups("a", "b", "c", "d"), "router_settings": settings}
    made = import_litellm(document, {})
    found = {model.name: "".join(model.fallbacks) for model in made.config.model}
    assert {name: chain for name, chain in found.items() if chain} == fallbacks
    assert made.notes == ()


def test_what_is_dropped_is_left_out_here() -> None:
    """`drop_params` of the file holds for every model, that of a deployment for its model."""
    entries = groups("a", "b")
    entries[1]["litellm_params"]["drop_params"] = True
    made = import_litellm({"model_list": entries}, {})
    assert {model.name: model.lenient for model in made.config.model} == {"b": True}
    everywhere = {"model_list": groups("a"), "litellm_settings": {"drop_params": True}}
    assert [model.lenient for model in import_litellm(everywhere, {}).config.model] == [True]
    refused = {"model_list": groups("a"), "litellm_settings": {"drop_params": False}}
    assert import_litellm(refused, {}).config.model == ()
    assert import_litellm(refused, {}).notes == made.notes == ()
    odd = import_litellm({"model_list": groups("a"), "litellm_settings": {"drop_params": "x"}}, {})
    assert odd.notes == ("litellm_settings.drop_params: neither true nor false; set it by hand",)


def test_a_timeout_is_an_attempt_s(tmp_path: Path) -> None:
    """A timeout of the whole call would leave a fallback only the time that the first one has spared."""
    entries = groups("a", "b")
    entries[1]["litellm_params"]["timeout"] = 7
    document = {"model_list": entries, "litellm_settings": {"request_timeout": 60}}
    made = import_litellm(document, {})
    assert {u.name: u.first_byte_s for u in made.config.upstream} == {"groq": 60.0, "groq-2": 7.0}
    assert made.config.model == ()
    assert made.notes == (
        "litellm_settings.request_timeout: taken as first_byte_s: how long an attempt may take to answer",
    )


def test_weights_are_kept_where_they_say_something() -> None:
    """Requests a minute are the shares of two deployments of a name; of one alone they mean nothing."""

    def entry(name: str, model: str, rpm: int) -> dict[str, Any]:
        return {"model_name": name, "litellm_params": {"model": model, "rpm": rpm}}

    entries = [
        entry("shared", "groq/a", 60), entry("shared", "together_ai/a", 20), entry("alone", "groq/b", 9),
        entry("other", "mistral/c", 5),
    ]  # fmt: skip
    made = import_litellm({"model_list": entries}, {}).config
    weights = {upstream.name: (upstream.weight, len(upstream.models)) for upstream in made.upstream}
    assert weights == {"groq": (60.0, 2), "together": (20.0, 1), "mistral": (1.0, 1)}


@pytest.mark.parametrize("key", ["none", "EMPTY", "fake-key", ""])
def test_a_key_that_is_none_is_not_asked_for(key: str) -> None:
    """Placeholders for a key, where a server wants none, become no key, so that the file starts."""
    params = {"model": "openai/m", "api_base": "http://10.0.0.1:8000/v1", "api_key": key}
    made = import_litellm({"model_list": [{"model_name": "m", "litellm_params": params}]}, {})
    (upstream,) = made.config.upstream
    assert (upstream.provider, upstream.key, made.notes) == ("openai-compatible", "", ())


def test_notes_say_which_models_and_what_to_do() -> None:
    """A setting of many entries is one line that names the first models, with what to do where we know."""
    entries = [
        {"model_name": f"m{n}", "litellm_params": {"model": "groq/m", "aws_profile_name": "x"}}
        for n in range(6)
    ]
    (note,) = import_litellm({"model_list": entries}, {}).notes
    assert note == (
        "litellm_params.aws_profile_name (m0, m1, m2, m3 and 2 more): "
        "set AWS_PROFILE where the platform is started"
    )


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["os.environ/A B", "http://", "ftp://x", "localhost:8000", "groq/m", "m", "-1"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
"""Values that YAML can express."""


def tables(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Tables in which some of these settings have odd values."""
    return st.dictionaries(st.sampled_from(names), ODD, max_size=4)


@pytest.mark.slow
@settings(max_examples=80)
@given(
    entry=tables("api_base", "api_key", "weight", "rpm", "tpm", "order", "timeout", "region_name",
                 "max_parallel_requests", "input_cost_per_token", "output_cost_per_token",
                 "custom_llm_provider", "vertex_project", "api_version"),
    router=tables("routing_strategy", "num_retries", "timeout", "retry_after", "allowed_fails",
                  "cooldown_time", "fallbacks", "default_fallbacks", "model_group_alias"),
    general=tables("max_parallel_requests", "global_max_parallel_requests", "master_key"),
    other=ODD,
)  # fmt: skip
def test_whatever_is_in_a_file_what_is_made_loads(
    tmp_path_factory: pytest.TempPathFactory, entry: Any, router: Any, general: Any, other: Any
) -> None:
    """No value makes the import fail, or write a file that cannot be read: it is taken or noted."""
    document = {
        "model_list": [other, {"model_name": "m", "litellm_params": {"model": "groq/m", **entry}}],
        "router_settings": router, "general_settings": general, "litellm_settings": other,
    }  # fmt: skip
    made = import_litellm(document, {})
    path = tmp_path_factory.getbasetemp() / "made.toml"
    path.write_text(config_toml(made.config), encoding="utf-8")
    assert load(path, {}) == made.config


def test_what_stands_in_the_environment_is_put_in() -> None:
    """Names and regions are read from the variables that they name; what is not there is told."""
    params = {
        "model": "azure/dep", "api_base": "https://a.openai.azure.com", "tenant_id": "os.environ/T",
        "client_id": "os.environ/C", "client_secret": "os.environ/S", "region_name": "os.environ/R",
    }  # fmt: skip
    document = {"model_list": [{"model_name": "m", "litellm_params": params}]}
    made = import_litellm(document, {"T": "tenant-1", "C": "client-1", "S": "a-secret"})
    (upstream,) = made.config.upstream
    assert (upstream.tenant, upstream.client) == ("tenant-1", "client-1")
    assert (upstream.client_secret, upstream.region) == ("env:S", "")
    assert made.notes == ("litellm_params.region_name (m): R is not set here; write it by hand",)
    assert "a-secret" not in config_toml(made.config)


def test_one_price_is_a_price() -> None:
    """Embeddings have a price of input alone; ours are told both sides."""
    params = {"model": "groq/m", "input_cost_per_token": 2e-8}
    made = import_litellm({"model_list": [{"model_name": "m", "litellm_params": params}]}, {})
    (upstream,) = made.config.upstream
    assert (upstream.input_price, upstream.output_price) == ("0.02", "0")


def test_without_a_yaml_reader_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that is missing is named, with how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(UserError, match=r"needs the package pyyaml: .*-m pip install"):
        read_litellm(tmp_path / "config.yaml", {})
