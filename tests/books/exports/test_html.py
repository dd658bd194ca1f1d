"""The HTML report: safe, alone, and equal to the statement to the picounit."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.budget import Budget, Key, Planned, against
from inferworks.books.analysis.change_effects import Cause
from inferworks.books.analysis.comparatives import comparison
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.exports.html import Fact, Report, render
from inferworks.books.exports.style import STYLE
from inferworks.books.period import Period
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Dimension, Statement, close_span
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens
from inferworks.purpose import Purpose
from inferworks.testing.books import a_charge, a_shift, a_step, a_usage, an_activity, an_interval

SPAN = (0, 1_000)
HOSTILE = '<script>alert("x")</script>&\'"\u202e\x1b\x00'
_VOID = {"meta", "line", "rect", "path", "br"}


def the_statement(customer: str = "acme") -> tuple[Statement, tuple[Charge, ...]]:
    """A paying customer at a profit, a free one, a trainer, idle time, an unknown charge."""
    charges = (
        a_charge("machine", "10.00", SPAN),
        a_charge("web", "1.00", SPAN, category="Web", resource="web-1"),
        a_charge("odd", "0.123456789012", SPAN, category="Databases", resource="db"),
        a_shift("repair", "5.00", SPAN, node="node-1"),
    )
    facts = Facts(
        usages=(
            a_usage("call-a", customer=customer, tokens=Tokens(1_000_000, 500_000), sent_bytes=30),
            a_usage("call-f", customer="freda", purpose=Purpose.SERVE_FREE, sent_bytes=10),
        ),
        steps=(a_step(0, 100, 300, [("call-a", 10, 0, 0)]),),
        capacity=an_interval((0, 800), {State.ACTIVE: 300, State.IDLE: 500}),
        activities=(an_activity("descent", "node-1", (800, 900), 100),),
    )
    plan = PricePlan.per_million(CustomerId(customer), 0, "USD", "8.00", "12.00")
    statement = close_span(Inputs(charges, facts, (plan,), load_policy("gaap"), "USD", Span(*SPAN)))
    return statement, charges


def a_report(statement: Statement, charges: tuple[Charge, ...], text: str = "fine") -> Report:
    """A report in which everything that can be text is `text`."""
    facts = (Fact(text, text),)
    return Report(text, text, text, statement, charges, facts, (text, text))


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


def drawn(page: str, kind: str, where: str) -> list[int]:
    """The exact amounts of the elements of class `kind` within the figure of class `where`."""
    figures = re.findall(rf'<figure class="{where}">(.*?)</figure>', page, re.DOTALL)
    found = re.findall(rf'class="{kind}[^"]*" data-pico="(-?\d+)"', figures[0])
    return [int(pico) for pico in found]


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


def test_the_picture_carries_the_whole_bill() -> None:
    """The nodes of each column, and the bands between them, sum to what was billed."""
    statement, charges = the_statement()
    page = render(a_report(statement, charges))
    figure = re.search(r'<figure class="broad">(.*?)</figure>', page, re.DOTALL)
    assert figure is not None
    columns: dict[str, int] = {}
    for pico, column in re.findall(r'data-pico="(\d+)" data-column="(\d)"', figure.group(1)):
        columns[column] = columns.get(column, 0) + int(pico)
    assert columns == dict.fromkeys("012", statement.billed_pico)
    assert sum(drawn(page, "band", "broad")) == 2 * statement.billed_pico


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


def test_labels_do_not_overlap() -> None:
    """A label has a line to itself, however thin its neighbours."""
    statement, charges = the_statement()
    page = render(a_report(statement, charges))
    start = page.index('<svg class="sankey"')
    svg = page[start : page.index("</svg>", start)]
    lines: dict[str, list[float]] = {}
    for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"', svg):
        lines.setdefault(x, []).append(float(y))
    assert len(lines) == 3
    for ys in lines.values():
        assert all(later - earlier >= 16 for earlier, later in pairwise(ys))


def test_an_empty_statement_is_a_report_too() -> None:
    """No bills and no calls: zeros, and no error."""
    statement = close_span(
        Inputs((), Facts((), (), (), ()), (), load_policy("gaap"), "USD", Span(*SPAN))
    )
    page = render(Report("Nothing", "", "", statement, ()))
    assert "0.00" in page


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read() -> None:
    """Text has a contrast of 4.5 to 1 on its ground, in light and in dark (WCAG AA)."""
    pairs = [("ink", "ground"), ("quiet", "ground"), ("quiet", "sheet"), ("accent", "ground"),
             ("gain", "ground"), ("loss", "ground"), ("warn-ink", "warn-ground")]  # fmt: skip
    themes = re.findall(r":root \{([^}]*)\}", STYLE)[:2]
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for text, ground in pairs:
            light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
