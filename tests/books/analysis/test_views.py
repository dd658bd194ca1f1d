"""Three views of the same money: policies that refine each other, bridge, unit economics, comparison."""

from __future__ import annotations

import json
from fractions import Fraction
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy, read_policy
from inferworks.books.allocation.pools import Behaviour, behaviour_of, default_pools
from inferworks.books.analysis.bridge import Step, bridge, shipped_views, step_of
from inferworks.books.analysis.policy_comparison import compare
from inferworks.books.analysis.unit_economics import economics
from inferworks.books.calendar.span import Span
from inferworks.books.charge import COST_OF_REVENUE, Function, NaturalClass
from inferworks.books.statement.computation import Computation, Inputs, compute, shipped_rules
from inferworks.books.statement.invariants import validate, views_agree
from inferworks.books.statement.statement import Statement, build_statement, close_span, whole_span
from inferworks.errors import BooksError, ConfigError
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens
from inferworks.money import round_pico
from inferworks.testing.books import World, a_charge, a_company, a_usage, worlds

RULES = shipped_rules()
SPAN = Span(0, 1_000)
USD = 10**12
thorough = settings(max_examples=40)


def worked_out(world: World, span: Span = SPAN, policy: str = "gaap") -> Computation:
    """The workings of `world`, validated."""
    workings = compute(Inputs(*world, load_policy(policy), "USD", span, RULES))
    validate(workings)
    return workings


def drawn(policy: str = "gaap") -> Statement:
    """The statement of the small company."""
    return build_statement(worked_out(a_company(), policy=policy))


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
    workings = worked_out(world, whole_span(world.charges, world.facts))
    for name in ("gaap", "marginal", "full"):
        views_agree(workings.under(load_policy(name)))
    gaap, marginal, full = (
        build_statement(workings.under(load_policy(name))) for name in ("gaap", "marginal", "full")
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
    workings = worked_out(a_company()).under(read_policy(text, "mine"))
    with pytest.raises(BooksError, match=r"views agree .*cost-of-revenue by marginal 22\.00"):
        views_agree(workings)


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


def test_the_bridge_by_hand() -> None:
    """17 - 3 = 14 - 6.80 = 7.20 - 5 = 2.20 - 7.20 = -5, pool by pool."""
    built = bridge(drawn())
    lines = {
        step.step: {line.pool: line.cost_pico * 10 // USD for line in step.lines}
        for step in built.steps
    }
    assert lines == {
        Step.AVOIDABLE: {"providers": 20, "storage": 10},
        Step.USED: {"machines": 30, "people": 30, "web": 8},
        Step.UNUSED: {"machines": 50},
        Step.BELOW: {"machines": 20, "people": 20, "storage": 30, "web": 2},
    }
    margins = [step.margin_pico * 10 // USD for step in built.steps]
    assert (built.revenue_pico, margins) == (17 * USD, [140, 72, 22, -50])


@pytest.mark.slow
@thorough
@given(worlds())
def test_every_line_stands_once_on_the_bridge(world: World) -> None:
    """The steps sum to everything billed, each line in one of them, under any policy."""
    workings = worked_out(world, whole_span(world.charges, world.facts))
    for name in ("gaap", "marginal", "full"):
        statement = build_statement(workings.under(load_policy(name)))
        built = bridge(statement)
        assert sum(step.cost_pico for step in built.steps) == statement.billed_pico
        assert built.margin_pico(Step.UNUSED) == statement.gross_margin_pico
        views = shipped_views()
        for step in built.steps:
            behind = [line for line in statement.lines if step_of(line, views) is step.step]
            assert sum(line.amount_pico for line in behind) == step.cost_pico


def test_a_bridge_that_loses_money_is_refused() -> None:
    """A statement whose lines do not sum to what was billed has no bridge."""
    statement = drawn()
    short = replace(statement, lines=statement.lines[1:])
    with pytest.raises(BooksError, match="fully loaded margin of the bridge is"):
        bridge(short)


def test_unit_economics_by_hand() -> None:
    """Acme costs 1 to 7.60 and pays 14; burns costs 2 to 2 and pays 3; 19 are to be covered by 14."""
    found = economics(drawn())
    figures = [
        (c.customer, c.revenue_pico, c.least_cost_pico, c.most_cost_pico) for c in found.customers
    ]
    assert figures == [
        ("acme", 14 * USD, USD, 76 * USD // 10),
        ("burns", 3 * USD, 2 * USD, 2 * USD),
    ]
    assert found.least_cost_per_customer_pico == Fraction(3 * USD, 2)
    assert found.most_cost_per_customer_pico == Fraction(96 * USD, 20)
    assert found.contribution_per_customer_pico == 7 * USD
    assert found.free_cost_per_customer_pico == Fraction(USD, 10)
    assert (found.fixed_pico, found.to_cover_pico) == (118 * USD // 10, 19 * USD)
    assert found.break_even == "3 customers like these cover it; there are 2"


def test_economics_without_customers_has_words() -> None:
    """No revenue: means are nothing, and break-even says why."""
    world = World((a_charge("gpu", "1", SPAN),), NO_FACTS, ())
    found = economics(build_statement(worked_out(world)))
    assert found.contribution_per_customer_pico is None
    assert found.break_even_customers is None
    assert found.break_even == "no customer has paid yet, so there is no contribution to count on"
    assert found.to_json()["contribution_per_customer"] is None


def test_economics_of_customers_who_cost_more_than_they_pay() -> None:
    """A contribution that is not positive never breaks even, and is said so."""
    world = a_company()
    dear = tuple(
        replace(charge, amount_pico=1_000 * charge.amount_pico) for charge in world.charges
    )
    found = economics(build_statement(worked_out(world._replace(charges=dear))))
    assert found.contribution_pico < 0
    assert found.break_even_customers is None
    assert found.break_even.startswith("never: the average paying customer costs more")


def test_economics_with_nothing_to_cover() -> None:
    """Revenue and no cost at all: zero customers are needed."""
    plan = PricePlan.per_million(CustomerId("acme"), 0, "USD", "1", "1")
    facts = Facts((a_usage("call", tokens=Tokens(1_000_000, 0)),), (), (), ())
    found = economics(
        close_span(Inputs((), facts, (plan,), load_policy("gaap"), "USD", Span(*SPAN)))
    )
    assert (found.break_even_customers, found.break_even) == (0, "there is nothing to cover")


@pytest.mark.slow
@thorough
@given(worlds())
def test_economics_account_for_everything(world: World) -> None:
    """Costs caused by paying customers and costs still to be covered sum to the bills."""
    statement = build_statement(worked_out(world, whole_span(world.charges, world.facts)))
    found = economics(statement)
    caused = sum(customer.least_cost_pico for customer in found.customers)
    assert caused + found.to_cover_pico == statement.billed_pico
    json.dumps(found.to_json())


def test_gaap_beside_marginal_by_hand() -> None:
    """6.80 become committed; the margin rises by what is left out: 11.80."""
    found = compare(worked_out(a_company()), load_policy("gaap"), load_policy("marginal"))
    differences = {row.name: row.difference_pico * 10 // USD for row in found.functions}
    assert differences["cost-of-revenue"] == -68
    assert differences["committed"] == 68
    assert [row.difference_pico * 10 // USD for row in found.view] == [0, -118, 118]
    moved = {(row.use, row.pool): row.amount_pico * 10 // USD for row in found.moved}
    assert moved == {
        ("serve-paid", "machines"): 30,
        ("serve-paid", "people"): 30,
        ("serve-paid", "web"): 6,
        ("serve-free", "web"): 2,
    }


@pytest.mark.slow
@thorough
@given(worlds())
def test_a_comparison_moves_money_and_loses_none(world: World) -> None:
    """Functions differ by what moves between them, and the differences sum to nothing."""
    workings = worked_out(world, whole_span(world.charges, world.facts))
    found = compare(workings, load_policy("gaap"), load_policy("marginal"))
    assert sum(row.difference_pico for row in found.functions) == 0
    for row in found.functions:
        gained = sum(item.amount_pico for item in found.moved if item.other == row.name)
        lost = sum(item.amount_pico for item in found.moved if item.one == row.name)
        assert row.difference_pico == gained - lost
    msgspec.json.encode(found.to_json())


def test_the_five_questions_in_three_views() -> None:
    """Figures by hand: only purchases made because of the calls are marginal."""
    answers = [
        (q.number, q.cost_of_revenue_pico, q.research_and_development_pico, q.marginal_pico)
        for q in drawn().questions
    ]
    tenths = [(number, *(pico * 10 // USD for pico in amounts)) for number, *amounts in answers]
    assert tenths == [(1, 0, 10, 0), (2, 0, 10, 0), (3, 10, 30, 10), (4, 8, 2, 0), (5, 30, 20, 0)]
    assert Function.COMMITTED in COST_OF_REVENUE


def test_the_worked_example_of_the_docs_is_what_the_code_says() -> None:
    """The bridge in docs/books.md, line by line."""
    page = Path(__file__).parents[3].joinpath("docs", "books.md").read_text("utf-8")
    block = page.split("<!-- the bridge of a_company -->")[1].split("```")[1]
    told = [tuple(line.strip().rsplit(maxsplit=1)) for line in block.strip().splitlines()]
    built = bridge(drawn())
    said = [("Revenue", built.revenue_pico)]
    for step in built.steps:
        for line in step.lines:
            said.append((f"- {step.step}: {line.pool} ({line.function})", -line.cost_pico))
        said.append((step.margin, step.margin_pico))
    rounded = [(name, round_pico(pico, places=2)) for name, pico in said]
    assert [(name.strip(), amount) for name, amount in told] == rounded
