"""The rules one can read and copy: policies, pools, and the weights of the model catalog."""

from __future__ import annotations

from importlib import resources
from itertools import product
from pathlib import Path

import pytest

from inferworks.books.accounting.policy import USES, load_policy, read_policy
from inferworks.books.allocation.pools import Behaviour
from inferworks.books.charge import Function, NaturalClass
from inferworks.errors import ConfigError

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
