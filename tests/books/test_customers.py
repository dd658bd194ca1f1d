"""Customers that are named and merged: joint tiers by hand, credit that moves, what is closed stays."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.command_line import document, refusal, run

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact, written_name
from inferworks.accounts.directory import Directory, Merge, Named, directory_of, refuse_circle
from inferworks.accounts.plan import Graduated, PerUnit, Price, PricePlan, Terms, Tier
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.api.pricing import PricingTable
from inferworks.books.accounting.entries import balances
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid, wallets
from inferworks.books.allocation.pools import DriverKind, Idle, Reservation
from inferworks.books.calendar.months import DAY_NS, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Dimension, Statement, build_statement, whole_span
from inferworks.errors import UserError
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_ITEMS, Tokens, Usage
from inferworks.testing.books import a_company, a_usage
from inferworks.units import Unit

ACME, BURNS, DUNE = CustomerId("acme"), CustomerId("burns"), CustomerId("dune")
NOVEMBER = month_of(20_410 * DAY_NS)
TIERS = (Tier(100, 2), Tier(None, 1))
GAAP = load_policy("gaap")


def day(number: int) -> int:
    """The midnight of a day of November."""
    return NOVEMBER.start_ns + (number - 1) * DAY_NS


def a_call(name: str, customer: CustomerId, number: int, tokens: int) -> Usage:
    """A call that was delivered so many tokens at noon of a day of November."""
    return a_usage(
        name,
        customer=customer,
        opened_ns=day(number) + DAY_NS // 2,
        tokens=Tokens(output=tokens),
    )


PLANS = (
    PricePlan(ACME, 0, Terms("USD", (Price(Unit.OUTPUT_TOKENS, Graduated(TIERS)),))),
    PricePlan(BURNS, 0, Terms("USD", (Price(Unit.OUTPUT_TOKENS, PerUnit(5)),), minimum_pico=600)),
)
CALLS = (
    a_call("c1", ACME, 5, 80),
    a_call("c2", BURNS, 10, 40),
    a_call("c3", BURNS, 20, 50),
)
MERGED = Directory((Merge(BURNS, day(16), ACME),))


def worked(
    directory: Directory, span: Span = NOVEMBER, credits_: tuple[Credit, ...] = ()
) -> Computation:
    """The validated computation of the three calls."""
    rules = Rules(**{**_fields(shipped_rules()), "customers": directory})
    facts = Facts(CALLS, (), (), ())
    computation = compute(
        Inputs((), facts, PLANS, GAAP, "USD", span, rules, Prepaid(credits_, to_date=()))
    )
    validate(computation)
    return computation


def _fields(rules: Rules) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in rules.__struct_fields__}


def earned(computation: Computation) -> dict[tuple[str, str], int]:
    """Revenue by customer and what it is for."""
    sums: dict[tuple[str, str], int] = {}
    for row in computation.revenue.rated:
        key = (str(row.customer), str(row.item))
        sums[key] = sums.get(key, 0) + row.amount_pico
    return sums


def test_tiers_run_over_the_joint_use_from_the_moment_of_the_merge() -> None:
    """The example of docs/customers.md, worked out by hand.

    Acme: 80 at 2. Then 50 of burns: 20 that are left of the first tier at 2, and 30 at 1: 160 + 40 + 30.
    Burns: 40 at 5 until the 16th, and half its minimum of 600 is 300: 200 + 100.
    """
    assert earned(worked(MERGED)) == {
        ("acme", "usage"): 230,
        ("burns", "usage"): 200,
        ("burns", "minimum"): 100,
    }
    assert earned(worked(Directory())) == {
        ("acme", "usage"): 160,
        ("burns", "usage"): 450,
        ("burns", "minimum"): 150,
    }


def test_a_merge_that_is_undone_lasts_for_its_days() -> None:
    """From the 18th burns is its own again, at its own price, and its minimum counts the other days."""
    undone = Directory((Merge(BURNS, day(16), ACME), Merge(BURNS, day(18), BURNS)))
    assert earned(worked(undone)) == {
        ("acme", "usage"): 160,
        ("burns", "usage"): 450,
        ("burns", "minimum"): 110,
    }


def test_what_is_left_of_credit_moves_with_its_customer() -> None:
    """Of 1,000 that burns bought 200 are used until the 16th; acme uses 88 of the 800 on the 20th.

    88 is the part of the 230 that 50 of 130 units have.
    """
    bought = (Credit("c", BURNS, day(2), 1_000, "USD", NOVEMBER.end_ns + 9 * DAY_NS),)
    computation = worked(MERGED, credits_=bought)
    found = wallets(computation.revenue, Prepaid(bought, to_date=()), NOVEMBER, MERGED)
    told = {w.customer: (w.bought_pico, w.used_pico, w.moved_pico, w.closing_pico) for w in found}
    assert told == {BURNS: (1_000, 200, -800, 0), ACME: (0, 88, 800, 712)}
    assert [wallet.expires_ns for wallet in found] == [NOVEMBER.end_ns + 9 * DAY_NS, None]
    booked = balances(computation.entries)
    assert booked["Liabilities:Credits:burns"] == 0
    assert booked["Liabilities:Credits:acme"] == -712
    assert booked["Assets:Receivable:acme"] == 230 - 88
    [december] = wallets(
        worked(MERGED, Span(NOVEMBER.end_ns, NOVEMBER.end_ns + DAY_NS)).revenue,
        Prepaid(bought, ((ACME, ((day(20), 88),)), (BURNS, ((day(10), 200),))), to_date=()),
        Span(NOVEMBER.end_ns, NOVEMBER.end_ns + DAY_NS),
        MERGED,
    )[:1]
    assert (december.customer, december.opening_pico, december.closing_pico) == (ACME, 712, 712)


def test_callers_pay_what_the_customer_pays_as_whom_they_count() -> None:
    """A call of burns shows the price of acme from the 16th on."""
    accounts = StubAccounts()
    for customer, price in ((ACME, "2.00"), (BURNS, "5.00")):
        plan = PricePlan.per_million(customer, 0, "USD", price, price)
        accounts.add_customer(Customer(customer, 0), plan)
    accounts.add_fact(
        CustomerFact(
            customer=BURNS, effective_ns=day(16), recorded_ns=0, by="ann", merged_into=ACME
        )
    )
    tariffs = PricingTable(accounts)
    costs = [
        tariffs.total(
            a_call("c", BURNS, number, 0), "", ReportedUsage(Tokens(output=1_000_000), NO_ITEMS)
        )
        for number in (15, 16)
    ]
    assert costs == [(5 * 10**12, "USD"), (2 * 10**12, "USD")]


def test_merges_follow_each_other_and_make_no_circle() -> None:
    """Dune is burns', and burns is acme's: dune counts as acme. Acme cannot become dune's."""
    chain = Directory((Merge(DUNE, day(3), BURNS), Merge(BURNS, day(16), ACME)))
    assert [chain.survivor(DUNE, day(n)) for n in (2, 3, 15, 16)] == [DUNE, BURNS, BURNS, ACME]
    assert [move.into for move in chain.moves()] == [ACME, BURNS]
    with pytest.raises(UserError, match="cannot be merged with one that was merged with it"):
        refuse_circle(chain, Merge(ACME, day(20), DUNE))
    with pytest.raises(UserError, match="cannot be merged"):
        refuse_circle(chain, Merge(ACME, day(2), DUNE))
    refuse_circle(chain, Merge(BURNS, day(20), BURNS))


def test_names_are_shown_and_no_two_are_alike() -> None:
    """Names are of the last moment; one that two have, or that is another's id, has the id behind it."""
    assert dict(Directory((), (Named(ACME, 0, "Acme"),)).shown(1, ("acme",))) == {"acme": "Acme"}
    facts = [
        CustomerFact(customer=ACME, effective_ns=9, recorded_ns=1, by="x", display_name="Acmex"),
        CustomerFact(customer=ACME, effective_ns=5, recorded_ns=2, by="x", display_name="Acme"),
        CustomerFact(customer=BURNS, effective_ns=5, recorded_ns=3, by="x", display_name="acme"),
        CustomerFact(customer=DUNE, effective_ns=5, recorded_ns=3, by="x", display_name="burns"),
        CustomerFact(customer=DUNE, effective_ns=9, recorded_ns=4, by="x", display_name=""),
    ]
    directory, present = directory_of(facts), ("acme", "burns", "dune", "(no customer)")
    assert directory.names[0] == Named(ACME, 5, "Acme")
    assert dict(directory.shown(5, present)) == {
        "acme": "Acme (acme)",
        "burns": "acme (burns)",
        "dune": "burns (dune)",
    }
    assert dict(directory.shown(9, present)) == {"acme": "Acmex", "burns": "acme (burns)"}
    assert dict(directory.shown(4, present)) == {}


@pytest.mark.parametrize("name", ["(unallocated)", "Total", "a\x00b", "x" * 101, "( x"])
def test_a_row_of_a_statement_cannot_be_taken_as_a_name(name: str) -> None:
    """Rows of nobody are in brackets, and the last one is the total."""
    with pytest.raises(UserError, match="not usable"):
        written_name(name)


def named() -> Statement:
    """A statement of customers of whom one has a name."""
    directory = Directory(MERGED.merges, (Named(ACME, 0, "Acme Robotics"),))
    return build_statement(worked(directory))


def test_a_statement_has_names_beside_ids() -> None:
    """Rows of a statement stay apart by id; its JSON has both; the merge is said."""
    statement = named()
    assert [row.name for row in statement.by(Dimension.CUSTOMER)][:2] == ["acme", "burns"]
    acme, burns = statement.to_json()["customers"][:2]  # type: ignore[index]
    assert (acme["customer"], acme["name"]) == ("acme", "Acme Robotics")
    assert "name" not in burns
    assert "burns counts as acme since 2025-11-16." in statement.notes


@pytest.mark.slow
def test_relations_count_as_the_definition_does() -> None:
    """Calls, activities and plans of merged customers, from the middle of what a company did."""
    from inferworks.books.engines.compute import compute_on
    from inferworks.books.engines.customer_statement import close_by_customer
    from inferworks.books.engines.duckdb import DuckEngine
    from inferworks.books.engines.lake import lake_of

    world = a_company()
    usages = tuple(
        replace(usage, opened_ns=200 * number, closed_ns=200 * number + 1)
        for number, usage in enumerate(world.facts.usages)
    )
    world = world._replace(facts=replace(world.facts, usages=usages))
    span = whole_span(world.charges, world.facts)
    freda, lab = CustomerId("freda"), CustomerId("lab")
    merges = (Merge(freda, 100, ACME), Merge(ACME, 300, BURNS), Merge(lab, 500, ACME))
    shipped = shipped_rules()
    [node] = {row.node for row in world.facts.capacity}
    held = {"idle": Idle.DEDICATED, "reserved": (Reservation(node, ACME),)}
    pools = tuple(
        replace(pool, **held) if pool.driver is DriverKind.NODE_TIME else pool
        for pool in shipped.pools
    )
    changed = {"customers": Directory(merges), "pools": pools}
    rules = Rules(**{**_fields(shipped), **changed})
    last = (world.plans, GAAP, "USD", span, rules)
    one = compute(Inputs(world.charges, world.facts, *last))
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, world.facts)
        other = compute_on(engine, lake, Inputs(world.charges, NO_FACTS, *last))
        rows = close_by_customer(engine, lake, Inputs(world.charges, NO_FACTS, *last)).rows
    costs = {line.target.customer: line.amount_pico for line in one.lines if "idle" in line.method}
    assert costs.keys() == {ACME, BURNS}, "whose idle time it is changes with the merge"
    before = Rules(**{**_fields(rules), "follows_merges": False})  # as periods were sealed before
    sealed = compute(Inputs(world.charges, world.facts, *last[:-1], before))
    assert {one.target.customer for one in sealed.lines if "idle" in one.method} == {ACME}
    assert one != compute(Inputs(world.charges, world.facts, *last[:-1], shipped_rules()))
    assert (one.lines, one.entries, one.revenue) == (other.lines, other.entries, other.revenue)
    assert rows == build_statement(one).by(Dimension.CUSTOMER)


CALL_ROWS = """\
source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens
log,1,openai,gpt-5,burns,serve-paid,2025-09-09T09:00:00Z,2025-09-09T09:00:01Z,0,1000000
log,2,openai,gpt-5,burns,serve-paid,2025-10-09T09:00:00Z,2025-10-09T09:00:01Z,0,1000000
log,3,openai,gpt-5,acme,serve-paid,2025-10-09T09:00:00Z,2025-10-09T09:00:01Z,0,1000000
"""
PLAN = 'currency = "USD"\neffective = 2025-01-01\n[[price]]\nunit = "output_tokens"\nper_million = "{}"\n'


@pytest.mark.slow
def test_customers_are_named_and_merged_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """September is closed; from October on burns is acme's; September verifies and keeps its names."""
    monkeypatch.chdir(tmp_path)
    Path("calls.csv").write_text(CALL_ROWS)
    for name, price in (("acme", "1"), ("burns", "10")):
        Path("plan.toml").write_text(PLAN.format(price))
        run("customers", "create", name, "--plan", "plan.toml")
    run("usage", "import", "calls.csv")
    rename = ("customers", "rename", "--reason", "as they sign", "--from", "2025-01-01")
    run(*rename, "burns", "--name", "Burns & Co")
    run("books", "close", "2025-09")
    merge = ("customers", "merge", "burns", "--into", "acme", "--reason", "bought", "--from")
    assert "closed until 2025-10-01" in refusal(*merge, "2025-09-15")
    assert "begins with a day" in refusal(*merge, "2025-10-01T09:00Z")
    assert "burns counts as acme from 2025-10-01." in run(*merge, "2025-10-01").output
    assert "counts as acme on 2025-10-02 already" in refusal(*merge, "2025-10-02")
    run("customers", "rename", "burns", "--name", "Acme East", "--reason", "as sold")
    run(*rename, "acme", "--name", "Acme", "--legal-name", "Acme SE")

    statement = ("books", "statement", "--by", "customer", "--period")
    september, october = run(*statement, "2025-09").output, run(*statement, "2025-10").output
    assert "Burns & Co" in september
    assert "Acme East" not in september
    assert "Acme " in october
    assert "burns counts as acme since 2025-10-01." in october
    cut = document(*statement, "2025-10")["customers"]
    assert [(row["customer"], row["revenue"]) for row in cut[:1]] == [("acme", "2.00")]
    assert "Sound" in run("books", "verify").output

    run("books", "export", "focus", "--period", "2025-10", "--seller", "Us", "--out", "focus")
    [bill] = csv.DictReader(Path("focus/customers.csv").read_text().splitlines()[:2])
    assert (bill["BillingAccountId"], bill["BillingAccountName"]) == ("acme", "Acme")
    run("books", "export", "quickbooks", "--period", "2025-10", "--out", "journal.csv")
    parties = {row["Name"] for row in csv.DictReader(Path("journal.csv").read_text().splitlines())}
    assert "Acme" in parties
    assert "acme" not in parties
    run("books", "report", "--period", "2025-10", "--out", "report.html")
    assert '<th scope="row">Acme</th>' in Path("report.html").read_text()
    plan = ("customers", "price", "burns", "--plan", "later.toml")
    Path("later.toml").write_text(PLAN.format("3").replace("2025-01-01", "2025-12-01"))
    assert "burns counts as acme then; its own plans do not hold" in run(*plan).output
    assert "the other's credit" in run("customers", "credit", "burns", "--amount", "5").output
    [wallet] = document("customers", "wallets")
    assert (wallet["customer"], wallet["left"]) == ("acme", "5.00")

    shown = run("customers", "show", "burns").output
    for text in ("name: Acme East", "counts as: acme", "Burns & Co", "bought"):
        assert text in shown
    told = document("customers", "show", "acme")
    assert (told["name"], told["legal_name"], len(told["merged_with_it"])) == ("Acme", "Acme SE", 1)
    listed = run("customers", "list").output
    assert "counts as acme" in listed
    assert max(map(len, listed.splitlines())) <= 80
    assert "there is no customer" in refusal("customers", "show", "dune")
