"""The rules one can read and copy: policies, pools, and the weights of the model catalog."""

from __future__ import annotations

import datetime as dt
from importlib import resources
from itertools import product
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.books.accounting.policy import USES, load_policy, read_policy
from inferworks.books.allocation.pools import Behaviour, Method, default_pools, pool_of, read_pools
from inferworks.books.charge import Function, NaturalClass
from inferworks.catalog.load import ANY_MODEL, ModelCatalog, model_catalog
from inferworks.errors import ConfigError
from inferworks.ids import ModelId
from inferworks.testing.books import a_charge, a_shift

GAAP_TEXT = (
    resources.files("inferworks.books.accounting").joinpath("policies/gaap.toml").read_text("utf-8")
)


@pytest.mark.parametrize(
    ("use", "function"),
    [
        ("serve-paid", Function.COST_OF_REVENUE),
        ("serve-free", Function.COST_OF_REVENUE),
        ("serve-internal", Function.GENERAL_AND_ADMINISTRATIVE),
        ("train-inference", Function.RESEARCH_AND_DEVELOPMENT),
        ("train-gradient", Function.RESEARCH_AND_DEVELOPMENT),
        ("evaluate", Function.RESEARCH_AND_DEVELOPMENT),
        ("data-prep", Function.RESEARCH_AND_DEVELOPMENT),
        ("customer-training", Function.COST_OF_REVENUE),
        ("support", Function.COST_OF_REVENUE),
        ("unused:idle", Function.UNUSED_CAPACITY),
        ("unallocated", Function.COST_OF_REVENUE),
    ],
)
def test_gaap_decides_as_its_documentation_says(use: str, function: Function) -> None:
    """The table of the five questions, for whatever was bought."""
    policy = load_policy("gaap")
    decided = {policy.function(use, *pair) for pair in product(NaturalClass, Behaviour)}
    assert decided == {function}


def test_a_policy_is_total() -> None:
    """Theorem 9: every use and every natural class has exactly one function."""
    functions = load_policy("gaap").functions
    assert set(functions) == set(product(USES, NaturalClass, Behaviour))


def test_a_policy_that_misses_a_combination_lists_it() -> None:
    """No default branch exists for a new purpose to fall into."""
    text = GAAP_TEXT.replace('"train-inference", ', "").replace('"licences", ', "")
    with pytest.raises(ConfigError) as refused:
        read_policy(text, "mine")
    assert "policy mine does not decide:" in str(refused.value)
    assert "train-inference, " in str(refused.value)
    assert "serve-paid x licences" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('"evaluate"', '"evaluate", "serve-paid"'), "decides more than once: serve-paid x"),
        (('"evaluate"', '"evaluate", "evalute"'), "uses that do not exist: evalute"),
        (('"cost-of-revenue"', '"cost-of-sales"'), "cost-of-sales"),
        (('"power"', '"steam"'), "steam"),
        (("title", "titel"), "titel"),
        (("[[rule]]", "[[rule"), "Expected"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(change: tuple[str, str], reason: str) -> None:
    """Twice decided, unknown words, broken TOML: an error that names it."""
    with pytest.raises(ConfigError, match=reason):
        read_policy(GAAP_TEXT.replace(*change), "mine")


def test_ones_own_policy_is_a_file(tmp_path: Path) -> None:
    """Copied, changed, and named by its path."""
    free = 'uses = ["serve-free"]\nfunction = "{}"'
    text = GAAP_TEXT.replace(free.format("cost-of-revenue"), free.format("sales-and-marketing"))
    (tmp_path / "mine.toml").write_text(text)
    policy = load_policy(str(tmp_path / "mine.toml"))
    assert (
        policy.function("serve-free", NaturalClass.POWER, Behaviour.VARIABLE)
        is Function.SALES_AND_MARKETING
    )


def test_a_policy_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """One clear line."""
    with pytest.raises(ConfigError, match="policy 'ifrs' not found: choose full, gaap, marginal"):
        load_policy("ifrs")


@pytest.mark.parametrize(
    ("category", "resource", "pool"),
    [
        ("Compute", "node-1", "machines"),
        ("Compute", "elsewhere", "other"),
        ("Compute", None, "other"),
        ("Storage", "disk", "storage"),
        ("Networking", None, "web"),
        ("Web", None, "web"),
        ("AI and Machine Learning", None, "providers"),
        ("Databases", None, "other"),
    ],
)
def test_a_charge_is_in_one_pool(category: str, resource: str | None, pool: str) -> None:
    """The first rule that fits FOCUS's fields decides on the pool."""
    charge = a_charge("x", "1", (0, 1), category=category, resource=resource)
    assert pool_of(charge, default_pools(), {"node-1"}).name == pool


def test_time_sheets_are_people() -> None:
    """Time sheets are of the pool of people, whatever machine they name."""
    shift = a_shift("x", "1", (0, 1), node="node-1")
    assert pool_of(shift, default_pools(), {"node-1"}).name == "people"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "pool"),
        ("pool = []", "the last pool must have no condition"),
        ('[[pool]]\nname="a"\ndriver="none"\nwhen={known_node=true}', "the last pool must have no"),
        ('[[pool]]\nname="a"\ndriver="none"\n[[pool]]\nname="a"\ndriver="none"', "same name"),
        ('[[pool]]\nname="a"\ndriver="magic"', "magic"),
        ('[[pool]]\nname="a"\ndriver="none"\nmethod="M7"', "M7"),
        ("[[pool", "Expected"),
    ],
)
def test_pools_that_could_lose_a_charge_are_refused(text: str, reason: str) -> None:
    """Every charge must fit exactly one."""
    with pytest.raises(ConfigError, match=reason):
        read_pools(text, "pools.toml")


def test_machines_use_step_shares() -> None:
    """M2 is the shipped method."""
    assert {pool.name: pool.method for pool in default_pools()}["machines"] is Method.STEP_SHARE


def test_weights_are_dated_and_fall_back_to_any_model() -> None:
    """A model's own row in force, else that of any model; before all rows, the oldest."""
    [shipped] = [model_catalog().weights(ModelId("unheard-of"), 2 * 10**18)]
    assert shipped.id == ANY_MODEL
    own = replace(shipped, id=ModelId("mine"), effective=dt.date(2026, 6, 1), prefill=7)
    catalog = ModelCatalog([own, shipped])
    june_ns = int(dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()) * 10**9
    assert catalog.weights(ModelId("mine"), june_ns) == own
    assert catalog.weights(ModelId("mine"), june_ns - 1) == shipped
    assert catalog.weights(ModelId("mine"), 0) == shipped


def test_a_catalog_that_cannot_weigh_is_refused() -> None:
    """A negative coefficient, or no row for any model."""
    shipped = model_catalog().weights(ANY_MODEL, 0)
    with pytest.raises(ConfigError, match="negative"):
        ModelCatalog([replace(shipped, decode=-1)])
    with pytest.raises(ConfigError, match="no row"):
        ModelCatalog([replace(shipped, id=ModelId("mine"))])
