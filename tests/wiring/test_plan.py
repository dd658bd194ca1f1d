"""A configuration becomes offers and policies, or one line that says what to mend."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.config import Breaker, Config, Model, settings
from inferworks.errors import ConfigError
from inferworks.http.client import NEVER
from inferworks.ids import ModelId
from inferworks.testing.providers import make_offer
from inferworks.wiring.model_catalog import Catalogue
from inferworks.wiring.plan import Own, Plan, breaker_of, policy_of

PlanOf = Callable[..., Plan]
LISTED = Rates(250_000, 2_000_000)
"""Prices of openai in the price list of these tests (conftest.py)."""

TWO = """
    [[upstream]]
    name = "openai"
    provider = "openai"
    models = ["gpt-5", { name = "small", upstream = "gpt-5-mini" }]

    [[upstream]]
    name = "here"
    url = "http://127.0.0.1:9999/v1"
    models = ["small", "llama"]
    region = "eu-west-1"
    chip = "h100"
    priority = 2
    weight = 3
    max_calls = 4
    input_price = "0.1"
    output_price = "0.000001"
    on_leave = "estimate"
"""
KEY = {"OPENAI_API_KEY": "sk-the-key"}


def ids(places: object) -> list[str]:
    """The places of a model, in short."""
    assert isinstance(places, tuple)
    return [place.id if isinstance(place, Offer) else f"own {place.model}" for place in places]


def test_upstreams_become_offers(plan_of: PlanOf) -> None:
    """Each model of an upstream is an offer; one name at two upstreams is one model with two."""
    plan = plan_of(TWO, KEY)
    assert sorted(plan.places) == ["gpt-5", "llama", "small"]
    first, second = plan.places[ModelId("small")]
    assert isinstance(first, Offer)
    assert isinstance(second, Offer)
    assert (first.id, first.upstream_model, first.provider, first.seller) == (
        "openai/small", "gpt-5-mini", "openai", "openai",
    )  # fmt: skip
    assert first.origin.url == "https://api.openai.com/v1"
    assert (first.rates, first.capacity, first.on_leave) == (LISTED, None, "cancel")
    assert (second.id, second.upstream_model, second.seller) == ("here/small", "", "here")
    assert (second.region, second.chip, second.priority, second.weight, second.capacity) == (
        "eu-west-1", "h100", 2, 3.0, 4,
    )  # fmt: skip
    assert second.rates == Rates(100_000, 1)
    assert second.on_leave == "estimate"
    assert plan.policies == {}
    assert plan.warnings == ()


def test_time_limits_reach_the_connections(plan_of: PlanOf) -> None:
    """Each limit of an upstream is one of its account; 0 for a whole answer is none."""
    limits = "connect_s = 1\nfirst_byte_s = 2\nbetween_bytes_s = 3\n"
    unset = plan_of(TWO + limits, KEY).accounts[1].timeouts
    assert (unset.connect_s, unset.first_byte_s, unset.between_bytes_s) == (1, 2, 3)
    assert unset.answer_s == 3600
    assert plan_of(f"{TWO}{limits}answer_s = 0\n", KEY).accounts[1].timeouts.answer_s == NEVER
    assert plan_of(f"{TWO}{limits}answer_s = 4\n", KEY).accounts[1].timeouts.answer_s == 4


def test_missing_keys_are_told_together(plan_of: PlanOf) -> None:
    """All missing keys of a file with several upstreams are named at once, and not one after another."""
    second = TWO.replace('name = "openai"', 'name = "again"').partition(
        '    [[upstream]]\n    name = "here"'
    )
    with pytest.raises(ConfigError) as caught:
        plan_of(TWO + second[0])
    assert str(caught.value).splitlines() == [
        "2 mistakes:",
        "  upstream openai: the environment variable OPENAI_API_KEY is not set; set it, or key",
        "  upstream again: the environment variable OPENAI_API_KEY is not set; set it, or key",
    ]


def test_all_mistakes_are_told_together(plan_of: PlanOf) -> None:
    """Each once, and none that is another's: what names the models of a wrong upstream is right."""
    with pytest.raises(ConfigError) as caught:
        plan_of(
            """
            [[upstream]]
            name = "gone"
            provider = "opnai"
            models = ["a"]

            [[upstream]]
            name = "nowhere"
            models = ["b"]

            [[upstream]]
            name = "here"
            url = "http://127.0.0.1:9999/v1"
            models = ["c"]

            [[model]]
            name = "a"
            offers = ["gone/a", "nowhere/b"]
            fallbacks = ["d"]
            strategy = "cheapst"

            [[model]]
            name = "d"
            offers = ["here/d"]
            """
        )
    assert str(caught.value).splitlines() == [
        "4 mistakes:",
        "  upstream gone: unknown provider 'opnai'; did you mean openai?",
        "  upstream nowhere: set url, or name a provider (inferworks providers list)",
        "  model d: no upstream offers 'here/d'; did you mean here/c?",
        "  model a: unknown strategy 'cheapst'; did you mean cheapest?",
    ]


def test_the_key_stays_out_of_sight(plan_of: PlanOf) -> None:
    """Nothing that a plan shows of itself has the key in it."""
    plan = plan_of(TWO, KEY)
    assert plan.accounts[0].secret is not None
    assert plan.accounts[0].secret.reveal() == "sk-the-key"
    assert "sk-the-key" not in repr(plan)
    assert "env:OPENAI_API_KEY" in repr(plan)


def test_a_model_chooses_its_offers(plan_of: PlanOf) -> None:
    """A [[model]] table names its offers in order, under a name of its own."""
    plan = plan_of(
        TWO
        + """
    [[model]]
    name = "smart"
    offers = ["here/llama", "openai/small"]
    strategy = "fallback"
    deadline_s = 5
    """,
        KEY,
    )
    first, second = plan.places[ModelId("smart")]
    assert isinstance(first, Offer)
    assert isinstance(second, Offer)
    assert (first.model, first.upstream_model) == ("smart", "llama")
    assert (second.model, second.upstream_model) == ("smart", "gpt-5-mini")
    policy = plan.policies[ModelId("smart")]
    assert policy == RoutePolicy(strategy=Strategy.FALLBACK, deadline_s=5.0)


def test_fallbacks_stand_behind(plan_of: PlanOf) -> None:
    """Offers of a fallback come after all of the model's own, whatever their priority, and in order."""
    plan = plan_of(
        TWO
        + """
    [[model]]
    name = "gpt-5"
    fallbacks = ["small", "tiny"]
    """,
        KEY,
        "tiny",
    )
    places = plan.places[ModelId("gpt-5")]
    assert ids(places) == ["openai/gpt-5", "openai/small", "here/small", "own tiny"]
    assert [place.fallback for place in places] == [0, 1, 1, 2]
    offers = [place for place in places if isinstance(place, Offer)]
    assert [offer.priority for offer in offers] == [0, 0, 2]
    assert {p.model for p in places if isinstance(p, Offer)} == {"gpt-5"}


def test_our_own_replicas_are_offers_too(plan_of: PlanOf) -> None:
    """A replica that is ready stands where its place is, under the name that was called."""
    plan = plan_of(
        TWO
        + """
    [[model]]
    name = "cheap"
    offers = ["inferworks/tiny", "here/llama"]
    [[model]]
    name = "gpt-5"
    fallbacks = ["tiny"]
    """,
        KEY,
        "tiny",
    )
    replica = make_offer(offer_id="replica-0", provider="inferworks")

    class Fleet:
        def offers(self, model: ModelId) -> list[Offer]:
            return [msgspec.structs.replace(replica, model=model)] if model == "tiny" else []

        def status(self) -> dict[str, str]:
            return {"replica-0": "ready"}

    catalogue = Catalogue(plan, Fleet())
    assert list(catalogue.models()) == ["cheap", "gpt-5", "llama", "small", "tiny"]
    cheap = catalogue.offers(ModelId("cheap"))
    assert [(o.id, o.model, o.upstream_model) for o in cheap] == [
        ("replica-0", "cheap", "tiny"),
        ("here/llama", "cheap", "llama"),
    ]
    assert [o.id for o in catalogue.offers(ModelId("gpt-5"))] == ["openai/gpt-5", "replica-0"]
    assert catalogue.offers(ModelId("gpt-5"))[1].fallback == 1
    assert [o.upstream_model for o in catalogue.offers(ModelId("tiny"))] == [""]
    assert catalogue.offers(ModelId("nothing")) == []
    assert catalogue.policy(ModelId("llama")) == RoutePolicy()
    assert catalogue.status() == {"replica-0": "ready"}
    assert plan.places[ModelId("tiny")] == (Own(ModelId("tiny")),)


def test_the_defaults_are_those_of_the_policies() -> None:
    """A table that sets nothing routes as if it were not there."""
    assert policy_of(Model(name="m")) == RoutePolicy()
    assert breaker_of(Breaker()) == BreakerPolicy()
    help_text = next(s.help for s in settings() if s.name == "model.strategy")
    assert all(f"`{strategy.value}`" in help_text for strategy in Strategy)
    assert Config().breaker == Breaker()


UPSTREAM = """
    [[upstream]]
    name = "a"
    url = "http://127.0.0.1:1/v1"
    models = ["m"]
"""


NEXT = '[[upstream]]\nname = "b"\nmodels = ["n"]\n'
MODEL = '[[model]]\nname = "m"\n'

MISTAKES = {
    'provider = "opnai"': r"upstream a: unknown provider 'opnai'; did you mean openai\?",
    'provider = "openai"': "upstream a: the environment variable OPENAI_API_KEY is not set",
    'key = "env:NOT_THERE"': "upstream a: the environment variable NOT_THERE is not set",
    'key_variable = "NOT_THERE"': "upstream a: the environment variable NOT_THERE is not set",
    'input_price = "1"': "upstream a: set input_price and output_price, or neither",
    NEXT.replace('"b"', '"a"') + 'url = "http://x"': "upstream 'a' is there twice",
    NEXT.replace('"b"', '"inferworks"')
    + 'url = "http://x"': "upstream 'inferworks' is there twice",
    NEXT: "upstream b: set url, or name a provider",
    NEXT.replace('"n"', '"n", "n"') + 'url = "http://x"': "upstream b: model 'n' is there twice",
    NEXT + 'url = "http://u:p@x"': "upstream b: the address of x may have no user",
    NEXT + 'provider = "vertex"': "upstream b: set region and project: its address is https://{reg",
    MODEL + 'offers = ["a/n"]': r"model m: no upstream offers 'a/n'; did you mean a/m\?",
    MODEL.replace('"m"', '"x"'): "model x: no upstream serves it; name its offers",
    MODEL + MODEL: "model 'm' is there twice",
    MODEL + 'strategy = "chepest"': r"unknown strategy 'chepest'; did you mean cheapest\?",
    MODEL + 'fallbacks = ["mm"]': r"model m: no other model 'mm' .*; did you mean m\?",
    MODEL + 'fallbacks = ["m"]': "model m: it falls back to itself; name another model, or none",
    "[breaker]\ncool_down_s = 9.0\nlongest_cool_down_s = 1.0": "longest_cool_down_s must not be less",
    MODEL + 'regions = ["eu-"]': "none of its offers runs in eu-; they run in: unknown",
}


@pytest.mark.parametrize(("text", "words"), MISTAKES.items())
def test_a_mistake_is_one_clear_line(plan_of: PlanOf, text: str, words: str) -> None:
    """A name of nothing is refused with its place and, where there is one, what was meant."""
    with pytest.raises(ConfigError, match=words) as caught:
        plan_of(f"{UPSTREAM}\n{text}", {"K": "k"})
    assert "\n" not in str(caught.value)


def test_a_way_that_can_be_read_is_warned_of(plan_of: PlanOf) -> None:
    """Without TLS beyond the own network there is a warning; within it, none."""
    text = '[[upstream]]\nname = "u{n}"\nurl = "http://{host}/v1"\nmodels = ["m"]\n'
    hosts = ("127.0.0.1:1", "10.0.0.7", "localhost:8", "vllm", "gpu.internal", "[::1]:9")
    assert plan_of("".join(text.format(n=n, host=h) for n, h in enumerate(hosts))).warnings == ()
    (warning,) = plan_of(text.format(n=1, host="api.example.com")).warnings
    assert "http://api.example.com/v1 has no TLS" in warning
