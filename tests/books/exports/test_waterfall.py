"""The bridge as a picture: every bar begins where the last one ended, and all of it is the statement."""

from __future__ import annotations

import re
from itertools import pairwise

from inferworks.books.analysis.bridge import bridge
from inferworks.books.exports.base import Books, content
from inferworks.books.exports.html import bridge_bars
from inferworks.books.exports.html_exporter import HtmlExporter
from inferworks.books.exports.waterfall import Bar, Kind, place, waterfall

BARS = (
    Bar("Revenue", 100, Kind.REACHED, "paid"),
    Bar("less cost", kind=Kind.HEADING),
    Bar("machines", -130),
    Bar("a credit", 20),
    Bar("Margin", -10, Kind.REACHED),
)


def test_each_change_begins_where_the_last_one_ended() -> None:
    """An amount that is reached begins at zero and ends where the changes have led."""
    placed = place(BARS)
    for earlier, later in pairwise(placed):
        if later.bar.kind is Kind.REACHED:
            assert (later.from_pico, later.to_pico) == (0, earlier.to_pico)
        else:
            assert later.from_pico == earlier.to_pico


def test_bars_stay_inside_the_picture_on_both_sides_of_zero() -> None:
    """A loss reaches to the left of the line at zero."""
    drawn = re.findall(
        r'<rect class="(\w+)" data-pico="(-?\d+)" x="([\d.]+)" y="1.5" width="([\d.]+)"',
        waterfall(BARS, "USD"),
    )
    assert [(kind, int(pico)) for kind, pico, _, _ in drawn] == [
        ("paid", 100), ("loss", -130), ("gain", 20), ("loss", -10),
    ]  # fmt: skip
    assert all(float(x) >= 0 and float(x) + float(width) <= 100 for _, _, x, width in drawn)
    assert float(drawn[3][2]) < float(drawn[0][2])


def test_a_level_is_a_mark_from_which_changes_begin() -> None:
    """Nothing begins at zero then, so small changes of a large amount fill the picture."""
    bars = (Bar("then", 10**6, Kind.LEVEL), Bar("price", 40), Bar("idle", -30, note="idle"),
            Bar("now", 10**6 + 10, Kind.LEVEL))  # fmt: skip
    placed = place(bars)
    assert [item.to_pico - 10**6 for item in placed] == [0, 40, 10, 10]
    drawn = re.findall(
        r'data-pico="(-?\d+)" x="([\d.]+)" y="1.5" width="([\d.]+)"', waterfall(bars, "USD")
    )
    assert drawn == [("40", "0.50", "99.00"), ("-30", "25.25", "74.25")]


def test_no_bars_are_a_picture_too() -> None:
    """Nothing is divided by zero."""
    assert "<rect" not in waterfall((), "USD")
    assert "0.00" in waterfall((Bar("Revenue", 0, Kind.REACHED),), "USD")


def test_labels_are_escaped() -> None:
    """Names of pools come from a file."""
    assert "<b>" not in waterfall((Bar("<b>", 1), Bar("<b>", kind=Kind.HEADING)), "<b>")


def test_the_bridge_is_the_statement(books: Books) -> None:
    """The changes lead from revenue to revenue less everything billed, margin by margin."""
    built = bridge(books.statement)
    placed = place(bridge_bars(built))
    margins = [item.to_pico for item in placed if item.bar.kind is Kind.REACHED]
    assert margins == [built.revenue_pico, *(step.margin_pico for step in built.steps)]
    changes = sum(item.bar.pico for item in placed if item.bar.kind is Kind.CHANGE)
    assert changes == -books.statement.billed_pico
    for earlier, later in pairwise(placed):
        if later.bar.kind is Kind.REACHED:
            assert later.to_pico == earlier.to_pico


def test_the_report_has_the_bridge(books: Books) -> None:
    """Margins of the bridge stand in the page by name."""
    page = content(HtmlExporter().files(books)[0]).decode()
    for step in bridge(books.statement).steps:
        assert step.margin in page
