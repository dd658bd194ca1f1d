"""A statement small enough to work out by hand, and the pools one by one."""

from __future__ import annotations

import json

import msgspec
import pytest

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.currency import NoRateError
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, close_span, whole_span
from inferworks.errors import MoneyError
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Outcome, Tokens
from inferworks.purpose import Purpose
from inferworks.testing.books import (
    a_charge,
    a_leg,
    a_shift,
    a_step,
    a_usage,
    an_activity,
    an_interval,
)
from inferworks.units import Unit

GAAP = load_policy("gaap")
SPAN = (0, 1_000)


def closed(charges: list, facts: Facts = NO_FACTS, plans: tuple = ()) -> Statement:
    """The statement of the thousand nanoseconds of `SPAN`."""
    return close_span(Inputs(charges, facts, plans, GAAP, "USD", Span(*SPAN)))


def costs(statement: Statement, dimension: str = "purpose") -> dict[str, str]:
    """The cost of every row of a cut, as short texts of whole and tenths."""
    return {
        row.name: str(
            (row.cost_of_revenue_pico + row.research_and_development_pico + row.other_pico) / 10**12
        )
        for row in statement.by(dimension)
    }


def the_golden_facts() -> Facts:
    """A node for 1,000 ns: a replica for 800 of them, then gradient descent for 100, then nothing.

    The replica loads for 100, runs steps for 400 and idles for 300. Of its steps, 300 are acme's, 100 the
    trainer's. The bucket holds 3 parts corpus to 1 part of acme's files.
    """
    usages = (
        a_usage(
            "call-a", customer="acme", tokens=Tokens(input=1_000_000, output=500_000), sent_bytes=30
        ),
        a_usage("call-f", customer="freda", purpose=Purpose.SERVE_FREE, sent_bytes=10),
        a_usage(
            "call-t",
            customer="lab",
            purpose=Purpose.TRAIN_INFERENCE,
            tokens=Tokens(input=9, output=9),
            sent_bytes=10,
        ),
    )
    steps = (
        a_step(0, 100, 300, [("call-a", 10, 0, 0)]),
        a_step(1, 500, 100, [("call-t", 10, 0, 0)]),
    )
    capacity = an_interval((0, 800), {State.LOADING: 100, State.ACTIVE: 400, State.IDLE: 300})
    activities = (
        an_activity("descent", "node-1", (800, 900), 100),
        an_activity(
            "corpus", "disk", SPAN, 3_000, purpose=Purpose.DATA_PREP, unit=Unit.BYTE_SECONDS
        ),
        an_activity(
            "files",
            "disk",
            SPAN,
            1_000,
            purpose=Purpose.SERVE_PAID,
            unit=Unit.BYTE_SECONDS,
            customer="acme",
        ),
    )
    return Facts(usages, steps, capacity, activities)


def the_golden_charges() -> list:
    """A machine for 10.00, a disk for 4.00, a web server for 1.00, a repair for 5.00."""
    return [
        a_charge("machine", "10.00", SPAN),
        a_charge("disk", "4.00", SPAN, category="Storage", resource="disk"),
        a_charge("web", "1.00", SPAN, category="Web", resource="web-1"),
        a_shift("repair", "5.00", SPAN, node="node-1"),
    ]


def the_golden_statement() -> Statement:
    """The statement of both, with acme paying 8 and 12 per million tokens."""
    plan = PricePlan.per_million(CustomerId("acme"), 0, "USD", "8.00", "12.00")
    return closed(the_golden_charges(), the_golden_facts(), (plan,))


def test_the_golden_statement() -> None:
    """Worked out by hand.

    Machine: acme 3, trainer 1, loading 1, idle 3, descent 1, unoccupied 1. Disk: corpus 3, acme 1.
    Web: acme 0.6, freda 0.2, trainer 0.2. Repair over 300 + 100 + 100 busy ns: acme 3, trainer 1,
    descent 1. Revenue: 8 + 6 = 14.
    """
    statement = the_golden_statement()
    assert statement.to_json()["statement"] == {
        "policy": "gaap",
        "currency": "USD",
        "revenue": "14.00",
        "cost_of_revenue": "12.80",
        "gross_margin": "1.20",
        "unused_capacity": "5.00",
        "research_and_development": "7.20",
        "sales_and_marketing": "0.00",
        "general_and_administrative": "0.00",
    }
    assert statement.billed_pico == statement.allocated_pico == 20 * 10**12


def test_the_golden_customers() -> None:
    """Acme carries what it used; idle time is nobody's; rows sum to the statement."""
    rows = the_golden_statement().to_json()["customers"]
    assert [
        (r["customer"], r["revenue"], r["cost_of_revenue"], r["gross_margin"]) for r in rows
    ] == [
        ("acme", "14.00", "7.60", "6.40"),
        ("freda", "0.00", "0.20", "-0.20"),
        ("lab", "0.00", "0.00", "0.00"),
        ("(no customer)", "0.00", "0.00", "0.00"),
        ("(unused capacity)", "0.00", "5.00", "-5.00"),
    ]


def test_the_five_questions() -> None:
    """Each question has its amount, split by function, and the lines behind it."""
    answers = the_golden_statement().to_json()["questions"]
    figures = [
        (q["number"], q["pool"], q["amount"], q["cost_of_revenue"], q["research_and_development"])
        for q in answers
    ]
    assert figures == [
        (1, "machines", "1.00", "0.00", "1.00"),
        (2, "machines", "1.00", "0.00", "1.00"),
        (3, "storage", "4.00", "1.00", "3.00"),
        (4, "web", "1.00", "0.80", "0.20"),
        (5, "people", "5.00", "3.00", "2.00"),
    ]
    assert all(question["lines"] for question in answers)


def test_flows_carry_the_whole_bill_in_both_steps() -> None:
    """Pools to uses, and uses to customers or functions, each sum to what was billed."""
    statement = the_golden_statement()
    for prefix in ("pool:", "use:"):
        flowing = sum(f.amount_pico for f in statement.flows() if f.source.startswith(prefix))
        assert flowing == statement.billed_pico


def test_json_has_no_floats() -> None:
    """Money is written as decimal strings; nothing in the statement is a float."""

    def no_float(text: str) -> None:
        raise AssertionError(f"a float: {text}")

    json.loads(json.dumps(the_golden_statement().to_json()), parse_float=no_float)


@pytest.mark.parametrize(
    ("category", "resource", "name"),
    [
        ("Compute", "node-unknown", "Unallocated:other"),
        ("Storage", "disk", "Unallocated:storage"),
        ("Storage", None, "Unallocated:storage"),
        ("Networking", None, "Unallocated:web"),
        ("AI and Machine Learning", None, "Unallocated:providers"),
        ("Databases", "db", "Unallocated:other"),
    ],
)
def test_a_charge_without_a_driver_stays_whole_and_in_sight(
    category: str, resource: str | None, name: str
) -> None:
    """Theorem 7: a driver of zero is `Unallocated:<pool>`; nothing vanishes."""
    statement = closed([a_charge("line", "3.00", SPAN, category=category, resource=resource)])
    assert costs(statement) == {name: "3.0"}
    assert statement.unallocated_pico == statement.cost_of_revenue_pico == 3 * 10**12


def test_a_known_machine_that_did_nothing_is_unused_capacity() -> None:
    """A node with nothing on it in the charge's period is idle, not unallocated."""
    facts = Facts((), (), an_interval((5_000, 5_100), {State.IDLE: 100}), ())
    statement = closed([a_charge("gpu", "3.00", SPAN)], facts)
    assert costs(statement) == {"unused:unoccupied": "3.0"}
    assert statement.unused_capacity_pico == 3 * 10**12


def test_occupants_that_overlap_weigh_their_own_time() -> None:
    """Gradient descent beside an idle replica over the same time shares the machine with it."""
    facts = Facts(
        (),
        (),
        an_interval(SPAN, {State.IDLE: 1_000}),
        (an_activity("descent", "node-1", SPAN, 1_000),),
    )
    statement = closed([a_charge("gpu", "3.00", SPAN)], facts)
    assert costs(statement) == {"train-gradient": "1.5", "unused:idle": "1.5"}


def test_an_activity_busy_for_part_of_its_interval_leaves_the_rest_unused() -> None:
    """400 of 1,000 ns of work are 40 % of the machine."""
    facts = Facts((), (), (), (an_activity("descent", "node-1", SPAN, 400),))
    statement = closed([a_charge("gpu", "3.00", SPAN)], facts)
    assert costs(statement) == {"train-gradient": "1.2", "unused:unoccupied": "1.8"}


def test_people_without_a_machine_go_to_the_activity_they_name() -> None:
    """`support` is a purpose; `lunch` is not, and stays in sight."""
    shifts = [
        a_shift("one", "2.00", SPAN, node=None, activity="support"),
        a_shift("two", "1.00", SPAN, node=None, activity="lunch"),
    ]
    assert costs(closed(shifts)) == {"support": "2.0", "Unallocated:people": "1.0"}


def test_a_providers_bill_follows_the_tokens_it_served() -> None:
    """Only legs that the billing provider served count, by tokens."""
    usages = (
        a_usage(
            "call-a", customer="acme", legs=[a_leg(None, (0, 9), Tokens(30, 30), provider="solora")]
        ),
        a_usage(
            "call-b", customer="burns", legs=[a_leg(None, (0, 9), Tokens(20, 0), provider="solora")]
        ),
        a_usage(
            "call-c", customer="cyber", legs=[a_leg(None, (0, 9), Tokens(99, 9), provider="other")]
        ),
    )
    bill = a_charge(
        "tokens",
        "4.00",
        SPAN,
        category="AI and Machine Learning",
        resource=None,
        provider="Solora AI",
    )
    assert costs(closed([bill], Facts(usages, (), (), ())), "customer") == {
        "acme": "3.0",
        "burns": "1.0",
    }


@pytest.mark.parametrize(
    ("line", "shares"),
    [
        ({"resource_type": "Model", "resource_id": "Large"}, {"burns": "4.0"}),
        ({"other": (("ResourceName", "small"),)}, {"acme": "4.0"}),
        ({"resource_type": "Model", "resource_id": "unheard-of"}, {"(unallocated)": "4.0"}),
        ({"other": (("ResourceName", "an account"),)}, {"acme": "3.0", "burns": "1.0"}),
        ({"resource_type": "Deployment", "resource_id": "small"}, {"acme": "3.0", "burns": "1.0"}),
    ],
)
def test_a_line_for_a_model_follows_the_tokens_of_that_model(
    line: dict[str, object], shares: dict[str, str]
) -> None:
    """Users of other models of the provider have no part of it; an uncalled model's line is nobody's."""
    usages = tuple(
        a_usage(
            model,
            customer=customer,
            model=model,
            legs=[a_leg(None, (0, 9), Tokens(n), provider="x")],
        )
        for customer, model, n in (("acme", "small", 60), ("burns", "large", 20))
    )
    bill = a_charge(
        "m", "4.00", SPAN, category="AI and Machine Learning", resource=None, provider="X"
    )
    bill = msgspec.structs.replace(bill, **line)
    assert costs(closed([bill], Facts(usages, (), (), ())), "customer") == shares


def test_what_a_call_earns() -> None:
    """Answered, cancelled and crashed calls of paying purposes earn; refused, failed and free do not."""
    tokens = Tokens(input=1_000_000)
    earning = {Outcome.ANSWERED, Outcome.CANCELLED, Outcome.CRASHED}
    plan = PricePlan.per_million(CustomerId("acme"), 0, "USD", "1.00", "0")
    for outcome in Outcome:
        for purpose in Purpose:
            usage = a_usage("call", purpose=purpose, outcome=outcome, tokens=tokens)
            pays = outcome in earning and purpose in {Purpose.SERVE_PAID, Purpose.CUSTOMER_TRAINING}
            revenue = closed([], Facts((usage,), (), (), ()), (plan,)).revenue_pico
            assert revenue == (10**12 if pays else 0)


def test_a_call_is_rated_at_the_price_in_force_when_it_was_opened() -> None:
    """A new price is a new plan; what came before keeps the old one."""
    plans = tuple(
        PricePlan.per_million(CustomerId("acme"), since, "USD", price, "0")
        for since, price in ((10, "1.00"), (500, "2.00"))
    )
    usages = tuple(
        a_usage(f"call-{at}", opened_ns=at, tokens=Tokens(input=1_000_000))
        for at in (5, 499, 500, 1_000)
    )
    statement = closed([], Facts(usages, (), (), ()), plans)
    assert [row.amount_pico for row in statement.revenue_rows if row.quantity] == [
        10**12,
        2 * 10**12,
    ]
    assert statement.notes == (
        "1 calls of customer acme had no price plan in force and earned nothing.",
    )


def test_a_charge_beyond_the_span_is_accrued_and_said_so() -> None:
    """Half of a charge's time is half of its amount."""
    statement = closed([a_charge("rent", "3.00", (500, 1_500), category="Other")])
    assert statement.billed_pico == 15 * 10**11
    assert statement.notes == ("1 bill lines reach beyond this span; they are accrued by time.",)


def test_a_charge_in_another_currency_is_refused() -> None:
    """Theorem 10: no sum across currencies."""
    with pytest.raises(MoneyError, match="is in EUR, the books are kept in USD"):
        closed([a_charge("gpu", "3.00", SPAN, currency="EUR")])


def test_a_plan_in_another_currency_is_refused_without_a_rate() -> None:
    """Revenue is never added to cost of another currency."""
    plan = PricePlan.per_million(CustomerId("acme"), 0, "EUR", "1", "1")
    call = a_usage("call", tokens=Tokens(output=1))
    with pytest.raises(NoRateError, match="acme pays in EUR"):
        closed([], Facts((call,), (), (), ()), (plan,))


def test_an_empty_span_is_an_empty_statement() -> None:
    """No bills and no calls: zeros, and nothing to divide by."""
    start_ns, end_ns = whole_span([], NO_FACTS)
    statement = close_span(Inputs([], NO_FACTS, (), GAAP, "USD", Span(start_ns, end_ns)))
    assert statement.billed_pico == statement.revenue_pico == statement.gross_margin_pico == 0
    assert statement.by("customer") == ()
