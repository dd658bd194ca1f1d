"""The HTML report: safe, alone, and equal to the statement to the picounit."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.reports import SPAN, a_report, the_statement

from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.budget import Budget, Key, Planned, against
from inferworks.books.analysis.change_effects import Cause
from inferworks.books.analysis.comparatives import comparison
from inferworks.books.calendar.span import Span
from inferworks.books.exports.html import Report, render
from inferworks.books.period import Period
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Dimension, close_span
from inferworks.meter.facts import NO_FACTS, Facts

HOSTILE = '<script>alert("x")</script>&\'"\u202e\x1b\x00'
_VOID = {"meta", "line", "rect", "path", "br"}


class _Balance(HTMLParser):
    """Checks that every element is closed in order, and collects what elements there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag


def beside_another(customer: str = "acme", text: str = "fine") -> Report:
    """The report of `customer`, with half the time beside it and a budget."""
    statement, charges = the_statement(customer)
    named = replace(statement, names=((customer, text),))
    before = close_span(Inputs(charges, NO_FACTS, (), load_policy("gaap"), "USD", Span(0, 500)))
    found = comparison(named, replace(before, notes=(text,)), text)
    period = Period(*SPAN, text)
    rows = (Planned(period, Key("revenue", customer), 10**13), Planned(period, Key("revenue"), 7))
    budget = against(named, Budget(text, rows))
    return replace(a_report(named, charges, text), beside=found, budget=budget)


def test_it_is_whole_html_with_nothing_from_outside() -> None:
    """Elements are balanced; there is no script, no link, no picture, no address but a fragment."""
    page = render(a_report(*the_statement()))
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    assert not balance.seen & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not re.search(r"https?:|//[a-z]|\bsrc=|\bhref=|url\(|@import|\son\w+=", page)


@pytest.mark.parametrize("text", ["2026-10", HOSTILE])
def test_another_time_and_a_budget_stand_beside_it(text: str) -> None:
    """The bars lead from the margin of then to that of now; every text is escaped, elements closed."""
    report = beside_another(text, text)
    page = render(report)
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<script" not in page
    assert not {"\u202e", "\x1b", "\x00"} & set(page)
    assert report.beside is not None
    why = report.beside.why
    picture = page[page.index("Why the gross margin changed") : page.index("Whose, and of what")]
    bars = [int(pico) for pico in re.findall(r'data-pico="(-?\d+)"', picture)]
    assert sum(bars) == why.change_pico == why.now_pico - why.then_pico
    assert len(bars) == len([cause for cause in Cause if why.mostly(cause)]) > 2
    assert "favourable" in page
    assert "the rest" in page


def test_nothing_stands_beside_it_unasked() -> None:
    """A report of one time has no sections about others."""
    page = render(a_report(*the_statement()))
    assert not [word for word in ("Beside", "Why the gross margin") if word in page]


def test_text_is_escaped() -> None:
    """Text from outside (names, bills, answers) can be no markup."""
    statement, charges = the_statement()
    loud = tuple(
        msgspec.structs.replace(charge, description=HOSTILE, issuer=HOSTILE) for charge in charges
    )
    page = render(a_report(statement, loud, HOSTILE))
    hostile_customer, _ = the_statement(HOSTILE)
    page += render(a_report(hostile_customer, loud, HOSTILE))
    assert "<script" not in page
    assert not {"\u202e", "\x1b", "\x00"} & set(page), "nor anything that cannot be seen"
    assert "alert(&quot;x&quot;)" in page


def test_the_bars_are_the_gross_margins() -> None:
    """One bar a row; a loss lies to the left of the middle, and all sum to the gross margin."""
    statement, charges = the_statement()
    page = render(a_report(statement, charges))
    bars = re.findall(
        r'<rect class="(gain|loss)" data-pico="(-?\d+)" x="([\d.]+)" y="1" width="([\d.]+)"', page
    )
    rows = statement.by(Dimension.CUSTOMER)
    assert [int(pico) for _, pico, _, _ in bars] == [row.gross_margin_pico for row in rows]
    assert sum(int(pico) for _, pico, _, _ in bars) == statement.gross_margin_pico
    for kind, pico, x, width in bars:
        start, end = float(x), float(x) + float(width)
        assert (kind == "loss") == (int(pico) < 0)
        assert (end == pytest.approx(50, abs=0.02)) if int(pico) < 0 else (start == 50)
        assert start >= 0
        assert end <= 100


def test_every_question_is_answered_with_its_amount() -> None:
    """The five amounts stand in the page exactly, in the titles of what is rounded."""
    statement, charges = the_statement()
    page = render(a_report(statement, charges))
    for question in statement.questions:
        assert f"{question.number}. {question.text}" in page
    assert 'title="16.123456789012"' in page
    assert "billed 16.123456789012 usd, allocated 16.123456789012: the same" in page.lower()


def test_an_empty_statement_is_a_report_too() -> None:
    """No bills and no calls: zeros, and no error."""
    statement = close_span(
        Inputs((), Facts((), (), (), ()), (), load_policy("gaap"), "USD", Span(*SPAN))
    )
    page = render(Report("Nothing", "", "", statement, ()))
    assert "0.00" in page
