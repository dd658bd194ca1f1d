"""The pieces of which the HTML report is made."""

from __future__ import annotations

from decimal import Decimal

import pytest

from inferworks.books.exports.pieces import Amount, Share, money, section, signed, table, use_text
from inferworks.money import PICO


def test_money_is_rounded_for_reading_and_exact_in_its_title() -> None:
    """A gain and a loss have a class each, nothing has none."""
    assert money(signed(PICO // 3)) == '<span class="gain" title="0.333333333333">0.33</span>'
    assert money(signed(-PICO)) == '<span class="loss" title="-1.00">−1.00</span>'
    assert money(signed(0)) == money(Amount(0)) == '<span title="0.00">0.00</span>'


def test_a_table_heads_its_rows_and_aligns_its_figures() -> None:
    """A column with a figure in any row is one of figures, in its head too."""
    text = table(["Line", "Amount", "Share"], [
        ("", ["<a>", Amount(PICO), Share(Decimal("12.5"))]),
        ("total", ["b", "none", Share(None)]),
    ])  # fmt: skip
    assert '<th scope="col">Line</th><th scope="col" class="n">Amount</th>' in text
    assert '<tr><th scope="row">&lt;a&gt;</th><td class="n"><span title="1.00">1.00</span>' in text
    assert '<tr class="total"><th scope="row">b</th><td>none</td><td class="n">–</td></tr>' in text


def test_shares_have_a_minus_and_thousands() -> None:
    """As amounts have."""
    text = table(["a", "b"], [("", ["x", Share(Decimal("-1234.5"))])])
    assert "−1,234.5" in text


def test_a_table_without_rows_has_a_head() -> None:
    """And says nothing of figures."""
    assert table(["a"], []).count("<th") == 2
    assert "<tr>" in table(["a"], [])
    assert 'class="n"' not in table(["a"], [])


@pytest.mark.parametrize(
    ("use", "text"),
    [
        ("unused:idle", "unused, idle"),
        ("department:sales", "sales"),
        ("Unallocated:people", "unallocated, people"),
        ("serve-paid", "serve-paid"),
    ],
)
def test_a_use_in_words(use: str, text: str) -> None:
    """Its kind is a word and no sign."""
    assert use_text(use) == text


def test_a_section_without_a_lead_has_no_paragraph() -> None:
    """Title and lead are text, the body is a part of the page."""
    assert section("A & B", "", "<p>x</p>") == "<section><h2>A &amp; B</h2>\n\n<p>x</p></section>"
    assert '<p class="quiet">&lt;lead&gt;</p>' in section("A", "<lead>", "")
