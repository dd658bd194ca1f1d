"""Three views of the same money: policies that refine each other, bridge, unit economics, comparison."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from msgspec.structs import replace
from tests.support.small_company import USD, drawn, thorough, worked_out

from inferworks.books.accounting.policy import load_policy, read_policy
from inferworks.books.allocation.pools import Behaviour, behaviour_of, default_pools
from inferworks.books.charge import COST_OF_REVENUE, Function, NaturalClass
from inferworks.books.statement.invariants import views_agree
from inferworks.books.statement.statement import build_statement, whole_span
from inferworks.errors import BooksError, ConfigError
from inferworks.testing.books import World, a_charge, a_company, worlds


@pytest.mark.parametrize(
    ("policy", "included", "margin"),
    [("gaap", "14.80", "2.20"), ("marginal", "3.00", "14.00"), ("full", "22.00", "-5.00")],
)
def test_three_views_of_one_company(policy: str, included: str, margin: str) -> None:
    """Figures by hand: revenue 17; cost of revenue 14.80, of which 3 avoidable; 22 in all."""
    view = drawn(policy).to_json()["view"]
    assert isinstance(view, dict)
    assert (view["included_cost"], view["margin"]) == (included, margin)


def test_the_marginal_view_takes_cost_of_revenue_apart() -> None:
    """Theorem 11 by hand: avoidable 3 (tokens 2, files 1) + committed 6.80 + unused 5 = 14.80."""
    marginal = drawn("marginal")
    parts = [marginal.function_pico(function) for function in COST_OF_REVENUE]
    assert parts == [3 * USD, 68 * USD // 10, 5 * USD]
    assert marginal.cost_of_revenue_pico == drawn().cost_of_revenue_pico == sum(parts)
    assert marginal.gross_margin_pico == drawn().gross_margin_pico


@pytest.mark.slow
@thorough
@given(worlds())
def test_views_agree_on_any_world(world: World) -> None:
    """Theorem 11: marginal + committed + unused = cost of revenue; all functions = billed."""
    computation = worked_out(world, whole_span(world.charges, world.facts))
    for name in ("gaap", "marginal", "full"):
        views_agree(computation.under(load_policy(name)))
    gaap, marginal, full = (
        build_statement(computation.under(load_policy(name)))
        for name in ("gaap", "marginal", "full")
    )
    assert gaap.cost_of_revenue_pico == marginal.cost_of_revenue_pico
    assert full.included_pico == full.billed_pico
    assert full.margin_pico == full.revenue_pico - full.billed_pico


def test_a_policy_that_does_not_refine_what_it_says_is_refused(tmp_path: Path) -> None:
    """A marginal view that calls research avoidable would not sum to the same cost of revenue."""
    text = _shipped_text("marginal").replace(
        'function = "research-and-development"', 'function = "committed"'
    )
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="refines gaap but decides otherwise: train-inference x"):
        load_policy(str(path))
    path.write_text(text.replace('refines = "gaap"', 'refines = "ifrs"'))
    with pytest.raises(ConfigError, match="refines 'ifrs': name one of full, gaap, marginal"):
        load_policy(str(path))


def test_a_policy_that_lies_about_refining_is_seen_at_run_time() -> None:
    """Read without the check of the loader, the amounts give it away."""
    text = _shipped_text("marginal").replace(
        'function = "research-and-development"', 'function = "committed"'
    )
    computation = worked_out(a_company()).under(read_policy(text, "mine"))
    with pytest.raises(BooksError, match=r"views agree .*cost-of-revenue by marginal 22\.00"):
        views_agree(computation)


def test_ones_own_policies_lie_in_a_folder(tmp_path: Path) -> None:
    """`ours` is ours.toml of the folder; what ships keeps its name."""
    (tmp_path / "ours.toml").write_text(_shipped_text("gaap").replace('"gaap"', '"ours"'))
    assert load_policy("ours", tmp_path).name == "ours"
    assert load_policy("gaap", tmp_path).name == "gaap"


def _shipped_text(name: str) -> str:
    return (
        resources.files("inferworks.books.accounting")
        .joinpath("policies", f"{name}.toml")
        .read_text()
    )


@pytest.mark.parametrize(
    ("category", "natural_class", "pricing", "behaviour"),
    [
        ("Compute", NaturalClass.PURCHASED_COMPUTE, None, Behaviour.COMMITTED),
        ("Compute", NaturalClass.PURCHASED_COMPUTE, "Committed", Behaviour.COMMITTED),
        ("Compute", NaturalClass.PURCHASED_COMPUTE, "Standard", Behaviour.VARIABLE),
        ("Compute", NaturalClass.PURCHASED_COMPUTE, "Dynamic", Behaviour.VARIABLE),
        ("Compute", NaturalClass.POWER, None, Behaviour.VARIABLE),
        ("Web", NaturalClass.NETWORK, None, Behaviour.VARIABLE),
        ("Web", NaturalClass.NETWORK, "Committed", Behaviour.COMMITTED),
        ("Storage", NaturalClass.PURCHASED_COMPUTE, None, Behaviour.VARIABLE),
        ("AI and Machine Learning", NaturalClass.PURCHASED_COMPUTE, None, Behaviour.VARIABLE),
    ],
)
def test_how_a_charge_behaves(
    category: str, natural_class: NaturalClass, pricing: str | None, behaviour: Behaviour
) -> None:
    """The pool's declaration decides, else the way of purchase, else the natural class."""
    charge = a_charge("x", "1", (0, 1), category=category, natural_class=natural_class)
    other = (("PricingCategory", pricing),) if pricing else ()
    pools = {"Compute": "machines", "Web": "web", "Storage": "storage"}
    name = pools.get(category, "providers")
    [pool] = [pool for pool in default_pools() if pool.name == name]
    assert behaviour_of(replace(charge, other=other), pool) is behaviour


def test_the_five_questions_in_three_views() -> None:
    """Figures by hand: only purchases made because of the calls are marginal."""
    answers = [
        (q.number, q.cost_of_revenue_pico, q.research_and_development_pico, q.marginal_pico)
        for q in drawn().questions
    ]
    tenths = [(number, *(pico * 10 // USD for pico in amounts)) for number, *amounts in answers]
    assert tenths == [(1, 0, 10, 0), (2, 0, 10, 0), (3, 10, 30, 10), (4, 8, 2, 0), (5, 30, 20, 0)]
    assert Function.COMMITTED in COST_OF_REVENUE
