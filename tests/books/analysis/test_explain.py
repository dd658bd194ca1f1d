"""Every figure opens, down to bill lines and calls; and statements are cut by ten dimensions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.explained import GAAP, RULES, USD, company

from inferworks.books.analysis.breakdown import Bounds, Node
from inferworks.books.analysis.explain import Explanation, explain, parse_subject
from inferworks.books.statement.computation import Computation, Inputs, compute
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Dimension, build_statement, whole_span
from inferworks.errors import BooksError, UserError
from inferworks.testing.books import World, a_company, worlds

WIDE = Bounds(depth=9, width=10**6)
thorough = settings(max_examples=30)


def worked_out(world: World) -> Computation:
    """The validated computation of all of `world`."""
    span = whole_span(world.charges, world.facts)
    computation = compute(Inputs(*world, GAAP, "USD", span, RULES))
    validate(computation)
    return computation


def explained(subject: str, bounds: Bounds = WIDE) -> Explanation:
    """A figure of the small company, taken apart."""
    return explain(company(), parse_subject(subject), bounds)


def nodes(root: Node) -> list[Node]:
    """`root` and everything under it."""
    return [root, *(node for part in root.parts for node in nodes(part))]


def leaves(root: Node) -> dict[str, int]:
    """Amounts at the ends of the tree, in tenths."""
    found: dict[str, int] = {}
    for node in nodes(root):
        if not node.parts:
            found[node.label] = found.get(node.label, 0) + node.amount_pico * 10 // USD
    return found


def test_a_customer_explained_by_hand() -> None:
    """Acme: 3 of machine and 3 of repair by the same call, 1 of its files, 0.60 of traffic."""
    found = explained("customer:acme")
    assert found.revenue.amount_pico == 14 * USD
    assert leaves(found.revenue) == {"call call-a": 140}
    assert found.cost.amount_pico == 76 * USD // 10
    assert leaves(found.cost) == {
        "call call-a Input": 60,
        "call call-a": 6,
        "activity test/files": 10,
    }


def test_the_way_down_carries_every_ratio() -> None:
    """800 of 1,000 ns for the replica, 400 of 800 active, 300 of 400 for acme: 3 of 10."""
    [split] = [
        node
        for node in nodes(explained("customer:acme").cost)
        if node.label.startswith("node-time/M2")
    ]
    assert [(r.stage, r.quantity, r.whole, r.unit) for r in split.ratios] == [
        ("node", 800, 1000, "node_ns"),
        ("replica replica-1", 400, 800, "replica_ns"),
        ("active replica-1", 300, 400, "replica_ns"),
    ]
    assert split.amount_pico == 3 * USD


def test_a_bill_line_is_named_where_it_stands() -> None:
    """Issuer, file and line, so that somebody can find the paper."""
    details = [node.detail for node in nodes(explained("pool:machines").cost)]
    assert "a-cloud, bill.csv line 2: machine (10.00 in this span)" in details


@pytest.mark.parametrize(
    ("subject", "revenue", "cost"),
    [
        ("customer:burns", 30, 20),
        ("project:default", 170, 110),
        ("key:key-acme", 140, 66),
        ("model:large", 30, 20),
        ("provider:solora", 30, 20),
        ("region:eu", 140, 126),
        ("chip:gpu-a", 140, 126),
        ("pool:people", 0, 50),
        ("purpose:unused:idle", 0, 30),
        ("purpose:serve-free", 0, 2),
        ("day:1970-01-01", 170, 170),
        ("call:call-b", 30, 20),
        ("customer:(unused capacity)", 0, 50),
    ],
)
def test_every_kind_of_subject(subject: str, revenue: int, cost: int) -> None:
    """In tenths, by hand; a region's cost has its share of the replica's idle time."""
    found = explained(subject)
    figures = (found.revenue.amount_pico * 10 // USD, found.cost.amount_pico * 10 // USD)
    assert figures == (revenue, cost)


def test_a_charge_explained_is_the_whole_charge() -> None:
    """Each bill line, by its id."""
    for charge in a_company().charges:
        assert explained(f"charge:{charge.id}").cost.amount_pico == charge.amount_pico


@pytest.mark.slow
@thorough
@given(worlds(), st.integers(0, 6), st.integers(1, 4))
def test_every_figure_of_every_cut_opens_and_sums(world: World, depth: int, width: int) -> None:
    """Roots are the statement's figures, parts sum to their node, whatever is left out of sight."""
    computation = worked_out(world)
    statement = build_statement(computation)
    for dimension in Dimension:
        for row in statement.by(dimension):
            subject = parse_subject(f"{dimension}:{row.name}")
            if row.name == "(revenue)":
                continue
            found = explain(computation, subject, Bounds(depth, width))
            cost = row.cost_of_revenue_pico + row.research_and_development_pico + row.other_pico
            assert found.cost.amount_pico == cost
            for node in (*nodes(found.cost), *nodes(found.revenue)):
                parts = sum(part.amount_pico for part in node.parts)
                assert not node.parts or parts == node.amount_pico
                assert len(node.parts) <= width + 1


@pytest.mark.slow
@thorough
@given(worlds())
def test_the_calls_and_the_rest_are_everything(world: World) -> None:
    """Costs of each call, and costs that no call caused, sum to the bills, to the picounit."""
    computation = worked_out(world)
    whole = sum(charge.amount_pico for charge in computation.charges)
    ends = sum(
        sum(portion.by_leaf().values()) if any(portion.leaves.values()) else portion.amount_pico
        for item in computation.allocated
        for portion in item.portions
    )
    assert ends == whole


def test_what_is_out_of_sight_is_counted_and_summed() -> None:
    """Nothing is cut silently."""
    found = explained("purpose:serve-paid", Bounds(depth=2, width=1))
    [function] = found.cost.parts
    assert [part.label for part in function.parts] == ["pool machines", "and 4 more"]
    assert function.parts[1].amount_pico == function.amount_pico - 3 * USD


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("acme", "write KIND:NAME, where KIND is one of customer, project"),
        ("town:springfield", "write KIND:NAME"),
        ("customer:", "write KIND:NAME"),
        ("customer:wayne", "no customer 'wayne' in this statement; there are: "),
        ("charge:chg_0", "no charge 'chg_0'"),
        ("call:call-z", "no call 'call-z'"),
    ],
)
def test_what_cannot_be_explained_is_refused(subject: str, reason: str) -> None:
    """One line: what there is instead."""
    with pytest.raises(UserError, match=reason):
        explained(subject)


def test_an_explanation_that_does_not_sum_is_an_error() -> None:
    """A portion whose row says otherwise is found on the way down."""
    computation = company()
    item = computation.allocated[0]
    broken = replace(item.portions[0], leaves={("x",): 1, ("y",): -1})
    damaged = replace(item, portions=(broken, *item.portions[1:]))
    whole = replace(computation, allocated=(damaged, *computation.allocated[1:]))
    with pytest.raises((BooksError, UserError), match=r"cannot split|sum to"):
        explain(whole, parse_subject(f"charge:{item.charge.id}"), WIDE)


@pytest.mark.slow
@thorough
@given(worlds())
def test_the_parts_beside_a_line_sum_to_it(world: World) -> None:
    """Each line of a statement lists the charges it is made of."""
    statement = build_statement(worked_out(world))
    assert {backed.line for backed in statement.backed} == set(statement.lines)
    for backed in statement.backed:
        assert sum(part.amount_pico for part in backed.parts) == backed.line.amount_pico
