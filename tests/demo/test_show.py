"""The output of the demo: the same figures as tables, as JSON and as a page."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from tests.support.small_company import SPAN, drawn

from inferworks.demo.run import DemoResult, LiveRun, Plan, Price, Settings
from inferworks.demo.scenario import SAMPLE_QUESTION
from inferworks.demo.show import SYNTHETIC, as_json, facts, page, sections
from inferworks.demo.traffic import Answered
from inferworks.demo.training import Trained
from inferworks.ids import CallId, CustomerId
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_company

SAMPLE = Answered(CallId("call-s"), True, "An answer of <three> lines & more.")


@pytest.fixture(scope="module")
def result() -> DemoResult:
    """A run whose books are those of the small company."""
    return DemoResult(
        settings=Settings(seconds=1, calls=2, seed=3, trace=None),
        plan=Plan((), "2 calls"),
        prices=(
            Price(CustomerId("acme"), "pays for what it uses", 8_000_000, 12_345_000),
            Price(CustomerId("freda"), "pays nothing", 0, 0),
        ),
        live=LiveRun(SPAN, SAMPLE, (SAMPLE,), Trained(4, 1_000, 2_000, 3_000, 3.456, 1.234)),
        calls_sent=7,
        calls_answered=6,
        usage_records=7,
        outcomes={"answered": 6, "left": 1},
        tokens=Tokens(1_234_567, 8_901),
        charges=a_company().charges,
        statement=drawn(),
    )


def test_what_happened_is_told_in_words(result: DemoResult) -> None:
    """Counts, and prices per million tokens rounded to cents; who pays nothing has none."""
    told = {fact.name: fact.text for fact in facts(result)}
    assert told == {
        "Traffic": "2 calls; 1 sample; 4 rollouts of the trainer",
        "Calls": "7 sent, 7 usage records: 6 answered, 1 left",
        "Tokens": "1,234,567 in, 8,901 out",
        "Training": (
            "3,000 steps of gradient descent on 1,000 windows of the rollouts, 2,000 parameters; "
            "loss 3.46 to 1.23 nats a character"
        ),
        "Customers": (
            "acme pays for what it uses (8.00 in, 12.34 out, per million tokens); freda pays nothing"
        ),
    }


def test_sections_come_in_order_and_say_what_is_synthetic(result: DemoResult) -> None:
    """The label is first, then a question and its answer, then the figures."""
    shown = sections(result)
    assert shown[0].lines == (SYNTHETIC,)
    assert shown[1].lines == (f"> {SAMPLE_QUESTION}", SAMPLE.text)
    assert [one.title for one in shown] == [
        "Inferworks demo",
        "A question and its answer",
        "What happened",
        "Statement, policy gaap",
        "Gross margin by customer",
        "The five questions",
    ]
    for one in shown:
        assert all(len(row) == len(one.columns) for row in one.rows)
        assert set(one.right.split()) <= set(" ".join(one.columns).split())


def test_the_statement_adds_up(result: DemoResult) -> None:
    """Acme pays 14 and burns 3; all of the 22 that were billed is allocated, and shown exactly."""
    rows = {name.strip(): amount for name, amount in sections(result)[3].rows}
    assert (rows["Revenue"], rows["Billed"], rows["Allocated"]) == ("17.00", "22.00", "22.00")
    cost, margin = Decimal(rows["Cost of revenue"]), Decimal(rows["Gross margin"])
    assert abs(cost + margin - 17) <= Decimal("0.01"), "each is rounded by itself"
    customers = {row[0]: row[1] for row in sections(result)[4].rows}
    assert (customers["acme"], customers["burns"]) == ("14.00", "3.00")
    assert len(sections(result)[5].rows) == 5


def test_the_json_has_exact_amounts(result: DemoResult) -> None:
    """Amounts are texts, rows have only the promised fields, and all of it can be encoded."""
    shown = json.loads(msgspec.json.encode(as_json(result, Path("report.html"))))
    assert (shown["calls_sent"], shown["calls_answered"], shown["usage_records"]) == (7, 6, 7)
    assert shown["tokens"] == {"input": 1_234_567, "output": 8_901}
    assert (shown["billed"], shown["allocated"]) == ("22.00", "22.00")
    acme = next(row for row in shown["customers"] if row["customer"] == "acme")
    assert list(acme) == ["customer", "revenue", "cost_of_revenue", "gross_margin"]
    assert acme["revenue"] == "14.00"
    assert [row["number"] for row in shown["questions"]] == [1, 2, 3, 4, 5]
    assert "pool" in shown["questions"][0]
    assert (shown["traffic"], shown["report"]) == ("2 calls", "report.html")
    assert shown["training"]["rollouts"] == 4
    assert shown["synthetic"] == SYNTHETIC


def test_the_page_has_the_label_the_answer_and_the_facts(result: DemoResult) -> None:
    """Text of a model is text there, whatever it contains."""
    html = page(result)
    assert "An answer of &lt;three&gt; lines &amp; more." in html
    assert "<three>" not in html
    for text in ("The bills and the prices are SYNTHETIC", "Synthetic prices", "1,234,567 in"):
        assert text in html
