"""Departments: every cost says whose it is, and every policy says what that makes it (theorem 9)."""

from __future__ import annotations

import io
from csv import DictWriter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.command_line import invoke, run

from inferworks.books.accounting.entries import balances
from inferworks.books.accounting.policy import (
    USES,
    Policy,
    completed,
    load_policy,
    read_policy,
    shipped_policies,
)
from inferworks.books.allocation.departments import (
    SHIPPED,
    Department,
    Departments,
    read_departments,
)
from inferworks.books.allocation.pools import Behaviour, read_pools
from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.detect import reader_for
from inferworks.books.calendar.span import Span
from inferworks.books.charge import COST_OF_REVENUE, Charge, Function, NaturalClass
from inferworks.books.statement.computation import Computation, Inputs, compute, shipped_rules
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Statement, close_span
from inferworks.books.workspace.importing import readers
from inferworks.errors import BillError, BooksError, ConfigError, UserError
from inferworks.meter.facts import NO_FACTS
from inferworks.money import PICO
from inferworks.purpose import Purpose
from inferworks.testing.books import a_charge, a_shift, an_activity, worlds

GAAP = load_policy("gaap")
SPAN = Span(0, 1_000)
RESEARCH, SALES = Function.RESEARCH_AND_DEVELOPMENT, Function.SALES_AND_MARKETING
ADMINISTRATION = Function.GENERAL_AND_ADMINISTRATIVE
FUNCTION_OF = {
    Department.OPERATIONS: Function.COST_OF_REVENUE,
    Department.SUPPORT: Function.COST_OF_REVENUE,
    Department.RESEARCH: RESEARCH,
    Department.ENGINEERING: RESEARCH,
    Department.SALES: SALES,
    Department.MARKETING: SALES,
    Department.FINANCE: ADMINISTRATION,
    Department.PEOPLE: ADMINISTRATION,
    Department.LEGAL: ADMINISTRATION,
    Department.OFFICE: ADMINISTRATION,
    Department.MANAGEMENT: ADMINISTRATION,
}
REACHED = {
    "operations": Function.COST_OF_REVENUE,
    "engineering": RESEARCH,
    "marketing": SALES,
    "hr": ADMINISTRATION,
}
MONTH = ("2026-11-01", "2026-12-01")


def csv_of(**cells: str) -> str:
    """A file of one row."""
    text = io.StringIO()
    writer = DictWriter(text, cells)
    writer.writeheader()
    writer.writerow(cells)
    return text.getvalue()


FILES: dict[str, dict[str, str]] = {
    "payroll": {
        "person": "ann", "start": MONTH[0], "end": MONTH[1], "gross": "80", "employer_cost": "20",
        "currency": "USD", "split": "",
    },
    "timesheet": {
        "person": "ann", "start": MONTH[0], "end": MONTH[1], "minutes": "90", "node": "",
        "activity": "", "pay": "100", "currency": "USD", "sheet": "47",
    },
    "voucher": {
        "id": "V1", "period": "2026-11", "natural_class": "other", "amount": "100",
        "currency": "USD", "description": "Rent",
    },
    "depreciation": {
        "asset": "Desks", "resource": "", "cost": "1200", "salvage": "0", "life_months": "12",
        "method": "straight-line", "in_service": MONTH[0], "currency": "USD",
    },
    "focus": {
        "BilledCost": "100", "BillingCurrency": "USD", "ChargePeriodStart": MONTH[0],
        "ChargePeriodEnd": MONTH[1], "InvoiceIssuerName": "openai", "InvoiceId": "1",
        "ServiceCategory": "AI and Machine Learning",
    },
}  # fmt: skip


def read(
    kind: str, known: Departments = SHIPPED, currency: str = "USD", **cells: str
) -> list[Charge]:
    """The charges of a file of `kind` with one row, its `cells` changed."""
    bill = bill_file(f"{kind}.csv", csv_of(**{**FILES[kind], **cells}).encode())
    reader = reader_for(bill, readers(known))
    assert reader.kind == kind
    return list(reader.read(bill, currency, no_progress))


def refusal(kind: str, known: Departments = SHIPPED, **cells: str) -> str:
    """Reason why a file is refused."""
    with pytest.raises(BillError) as refused:
        read(kind, known, **cells)
    return str(refused.value)


def drawn(charges: list[Charge], known: Departments = SHIPPED) -> Statement:
    """The statement of the first month of `charges`, with no facts of a meter, checked."""
    start_ns = min(charge.period_start_ns for charge in charges)
    end_ns = min(charge.period_end_ns for charge in charges)
    rules = replace(shipped_rules(), departments=known)
    return close_span(Inputs(charges, NO_FACTS, (), GAAP, "USD", Span(start_ns, end_ns), rules))


def functions_of(statement: Statement) -> dict[Function, int]:
    """Cost of each function, in whole units."""
    amounts = {function: statement.function_pico(function) // PICO for function in Function}
    return {function: amount for function, amount in amounts.items() if amount}


def test_every_department_has_a_function_by_gaap() -> None:
    """The table of the documentation, whatever was bought and however its cost behaves."""
    for department, function in FUNCTION_OF.items():
        pairs = product(NaturalClass, Behaviour)
        decided = {GAAP.function(f"department:{department}", *pair) for pair in pairs}
        assert decided == {function}
    assert set(FUNCTION_OF) == set(Department)


@pytest.mark.parametrize("name", shipped_policies())
def test_every_shipped_policy_is_total(name: str) -> None:
    """Each department and each purpose, each natural class, each behaviour: one function."""
    policy = load_policy(name)
    uses = [*(f"department:{one}" for one in Department), *Purpose]
    assert set(uses) < set(USES)
    for combination in product(uses, NaturalClass, Behaviour):
        assert policy.function(*combination) in Function
    for department in (SALES, ADMINISTRATION, RESEARCH):
        assert department in set(policy.functions.values())


def test_a_policy_without_departments_is_refused_by_use() -> None:
    """Nothing falls into a default; what is left out as a whole is named once."""
    text = "\n".join(
        line for line in _gaap_text().splitlines() if "department:sales" not in line
    ).replace('function = "sales-and-marketing"', 'uses=[]\nfunction = "sales-and-marketing"')
    with pytest.raises(ConfigError) as refused:
        read_policy(text, "mine")
    assert str(refused.value).endswith("decide: department:sales, department:marketing")


def _gaap_text() -> str:
    from importlib import resources

    return (
        resources.files("inferworks.books.accounting")
        .joinpath("policies/gaap.toml")
        .read_text("utf-8")
    )


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("department", "function"), REACHED.items())
def test_every_function_is_reached_from_every_file(
    kind: str, department: str, function: Function
) -> None:
    """A file's function reaches the line of the statement and the account of the journal."""
    column = "x_Department" if kind == "focus" else "department"
    statement = drawn(read(kind, **{column: department}))
    assert functions_of(statement) == {function: 100}
    expenses = {
        account: amount_pico
        for account, amount_pico in balances(statement.entries).items()
        if account.startswith("Expenses:")
    }
    assert list(expenses.values()) == [100 * PICO]
    assert all(account.startswith(f"Expenses:{function}:") for account in expenses)
    margin = -100 * PICO if function in COST_OF_REVENUE else 0
    assert statement.gross_margin_pico == margin


def test_a_split_names_departments_and_activities() -> None:
    """An activity is a purpose or a department; what is left is the line's own department's."""
    charges = read("payroll", split="activity:sales=1 department:legal=1 activity:evaluate=2")
    assert functions_of(drawn(charges)) == {SALES: 25, ADMINISTRATION: 25, RESEARCH: 50}
    unseen = read("payroll", split="node:gpu-9=1", department="research")
    assert functions_of(drawn(unseen)) == {RESEARCH: 100}


@pytest.mark.parametrize(
    ("kind", "cells", "near"),
    [
        ("payroll", {"split": "activity:train-gradeint=1"}, "mean train-gradient"),
        ("payroll", {"split": "department:slaes=1"}, "mean sales"),
        ("payroll", {"department": "Markting"}, "mean marketing"),
        ("timesheet", {"activity": "evalute"}, "mean evaluate"),
        ("timesheet", {"department": "infrastucture"}, "mean infrastructure"),
        ("voucher", {"department": "ofice"}, "mean office"),
        ("depreciation", {"department": "reserch"}, "mean research"),
        ("focus", {"x_Department": "finanse"}, "mean finance"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_what_was_near(
    kind: str, cells: dict[str, str], near: str
) -> None:
    """A typo is no cost of revenue."""
    assert near in refusal(kind, **cells)


def test_a_voucher_says_what_it_is_for() -> None:
    """A rent is not cost of revenue by accident; what serves a machine says which."""
    assert "say what it is for: a department" in refusal("voucher")
    for category in ("Other", "Real Estate", ""):
        assert refusal("voucher", service_category=category, service_name="Office rent")
    assert read("voucher", service_category="Networking")
    (hall,) = read("voucher", resource="gpu-3", service_category="Compute")
    assert hall.department is None


def test_the_house_names_its_own_departments() -> None:
    """In any spelling of case, spaces and dashes; what they mean is the configuration's to say."""
    known = read_departments(["Growth Team=marketing", "ml_platform=operations"], ["team", "dept"])
    (charge,) = read("voucher", known, department="growth  team")
    assert charge.department == "growth  team", "the books keep what the file says"
    assert functions_of(drawn([charge], known)) == {SALES: 100}
    with pytest.raises(BooksError, match=r"voucher.csv, line 2: there is no department 'growth"):
        drawn([charge])
    for wrong in ("growth", "growth=nobody", "=sales"):
        with pytest.raises(ConfigError, match=r"books\.departments"):
            read_departments([wrong], [])
    with pytest.raises(ConfigError, match="is listed twice"):
        read_departments(["a=sales", "A=legal"], [])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ('{"team": "marketing"}', SALES),
        ('{"dept": "legal", "team": ""}', ADMINISTRATION),
        ('[["team", "research"]]', RESEARCH),
        ('{"other": "sales"}', Function.COST_OF_REVENUE),
        ("not json", Function.COST_OF_REVENUE),
        ("[1]", Function.COST_OF_REVENUE),
    ],
)
def test_a_tag_of_a_bill_names_the_department(tags: str, expected: Function) -> None:
    """Keys that the house configures count, also for bills that were imported before it did."""
    known = read_departments([], ["team", "dept"])
    before = read("focus", Tags=tags)
    assert functions_of(drawn(before, known)) == {expected: 100}
    assert functions_of(drawn(before)) == {Function.COST_OF_REVENUE: 100}
    assert "mean sales" in refusal("focus", known, Tags='{"team": "salse"}')


def test_a_pool_says_whose_its_charges_are() -> None:
    """The pool speaks for bills that cannot say it themselves."""
    pools = read_pools(
        '[[pool]]\nname="rent"\ndriver="department"\ndepartment="office"\n'
        'when={service_name=["Office rent"]}\n[[pool]]\nname="other"\ndriver="none"\n',
        "mine.toml",
    )
    rules = replace(shipped_rules(), pools=pools)
    (charge,) = read("focus", ServiceName="Office rent")
    span = Span(charge.period_start_ns, charge.period_end_ns)
    statement = close_span(Inputs([charge], NO_FACTS, (), GAAP, "USD", Span(*span), rules=rules))
    assert functions_of(statement) == {ADMINISTRATION: 100}
    assert [line.pool for line in statement.lines] == ["rent"]


def test_measured_use_comes_before_operations_and_after_other_departments() -> None:
    """A machine of operations is divided by its work; a machine of research is research, idle or not."""
    facts = replace(NO_FACTS, activities=(an_activity("job", "node-1", (0, 600), 600),))
    machine = a_charge("machine", "10", (0, 1000))
    for department, expected in (
        ("operations", {RESEARCH: 6, Function.UNUSED_CAPACITY: 4}),
        ("sales", {SALES: 10}),
        (None, {RESEARCH: 6, Function.UNUSED_CAPACITY: 4}),
    ):
        charge = replace(machine, department=department)
        statement = close_span(Inputs([charge], facts, (), GAAP, "USD", Span(*SPAN)))
        assert functions_of(statement) == expected


@pytest.mark.slow
@settings(max_examples=40)
@given(
    worlds(),
    st.lists(st.sampled_from([None, "infrastructure", *Department]), min_size=8, max_size=8),
    st.sampled_from(shipped_policies()),
)
def test_every_theorem_holds_with_departments(
    world: Any, named: list[str | None], name: str
) -> None:
    """Conservation, totality, balance and agreement of views, whoever has which charge."""
    shift = a_shift("shift", "7.000000000001", SPAN, node=None, activity="nothing")
    named_charges = [
        replace(charge, department=department)
        for charge, department in zip((*world.charges, shift), named, strict=False)
    ]
    policy: Policy = load_policy(name)
    computation: Computation = compute(
        Inputs(named_charges, world.facts, world.plans, policy, "USD", SPAN, shipped_rules())
    )
    validate(computation)
    for line in computation.lines:
        if line.target.department is not None:
            assert line.function_under(GAAP) is FUNCTION_OF[line.target.department]


def test_a_policy_that_was_sealed_before_there_were_departments_is_completed() -> None:
    """Late charges of the policy's period have a function; its own decisions stay."""
    for name, refines in (("gaap", ""), ("marginal", "gaap"), ("mine", "marginal"), ("own", "")):
        whole = load_policy(name if name in shipped_policies() else refines or "gaap")
        functions = {k: f for k, f in whole.functions.items() if not k[0].startswith("department:")}
        sealed = Policy(name, "", functions, refines=refines)
        assert completed(sealed).functions == whole.functions
        assert completed(whole) is whole


def test_decimal_minutes_are_exact() -> None:
    """Whole minutes stay minutes; others are nanoseconds."""
    (charge,) = read("timesheet", minutes="37.5", activity="evaluate")
    computation = compute(
        Inputs(
            [charge],
            NO_FACTS,
            (),
            GAAP,
            "USD",
            Span(charge.period_start_ns, charge.period_end_ns),
            shipped_rules(),
        )
    )
    (row,) = computation.allocated[0].rows
    assert (row.driver_quantity, row.driver_unit) == (2_250 * 10**9, "ns")
    for wrong in ("-1", "1.0000000001", "1e3", "x", "٣"):
        assert "column minutes" in refusal("timesheet", minutes=wrong, activity="evaluate")


def test_the_commands_tell_of_departments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own names from the configuration, a note on pay that is nobody's, and the captions."""
    monkeypatch.chdir(tmp_path)
    Path("inferworks.toml").write_text('[books]\ndepartments = ["growth=marketing"]\n')
    Path("v.csv").write_text(csv_of(**FILES["voucher"], department="Growth"))
    Path("p.csv").write_text(csv_of(**FILES["payroll"]))
    done = run("books", "import", "v.csv", "p.csv")
    assert "1 line of pay without a split or a department: 100.00 USD" in done.stderr
    shown = invoke("books", "statement", "--period", "2026-11", "--json")
    assert '"sales-and-marketing":"100.00"' in shown.stdout.replace(" ", "")
    Path("bad.csv").write_text(csv_of(**FILES["voucher"], department="growht"))
    bad = invoke("books", "import", "bad.csv")
    assert isinstance(bad.exception, UserError)
    assert "mean growth" in str(bad.exception)


def test_the_documented_month_is_what_the_books_say() -> None:
    """The example of docs/books.md: a machine that served, and four people's pay."""
    document = (Path(__file__).parents[3] / "docs" / "books.md").read_text("utf-8")
    start = document.index("    person,start,end,gross,employer_cost,currency,department,split")
    lines = document[start:].partition("\n\n")[0].splitlines()
    bill = bill_file("pay.csv", "\n".join(map(str.strip, lines)).encode())
    pay = reader_for(bill, readers()).read(bill, "USD", no_progress)
    span = (pay[0].period_start_ns, pay[0].period_end_ns)
    served = an_activity("served", "gpu-3", span, span[1] - span[0], purpose=Purpose.SERVE_PAID)
    machine = a_charge("machine", "1000", span, resource="gpu-3")
    facts = replace(NO_FACTS, activities=(served,))
    statement = close_span(Inputs([machine, *pay], facts, (), GAAP, "USD", Span(*span)))
    whole = {
        Function.COST_OF_REVENUE: 8320,
        RESEARCH: 6832,
        SALES: 6100,
        ADMINISTRATION: 1708,
    }
    assert functions_of(statement) == whole
    told = (
        "cost of revenue 8,320.00, research and development 6,832.00, sales and marketing 6,100.00"
    )
    assert told in document
    sales = balances(statement.entries)
    assert sales["Expenses:sales-and-marketing:employee-compensation:people"] == 6100 * PICO


def test_a_file_that_is_in_the_books_is_not_refused_for_rules_that_came_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the books is a duplicate, with a note; once void, it is refused like any other."""
    from inferworks.books.bills import voucher

    monkeypatch.chdir(tmp_path)
    Path("rent.csv").write_text(csv_of(**FILES["voucher"]))
    with monkeypatch.context() as before:
        before.setattr(voucher, "_divided", lambda: {None})
        run("books", "import", "rent.csv")
    again = run("books", "import", "rent.csv")
    assert "rent.csv is in the books already; a new file like it would be refused" in again.stderr
    assert "voucher    0          1" in again.stdout
    gone = ["books", "imports", "void", "1", "--reason", "wrong"]
    run(*gone)
    assert isinstance(invoke("books", "import", "rent.csv").exception, UserError)
