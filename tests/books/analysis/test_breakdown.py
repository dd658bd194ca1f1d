"""Figures and their parts: a tree in which the parts of every node sum to it."""

from __future__ import annotations

import pytest

from inferworks.books.analysis.breakdown import (
    NOTHING_UNSEEN,
    Bounds,
    Node,
    Ratio,
    Unseen,
    bounded,
    sum_unseen,
)
from inferworks.errors import BooksError


def node(label: str, *parts: int) -> Node:
    """A node whose parts come to it."""
    return Node(
        label, sum(parts), parts=tuple(Node(f"{label}{at}", pico) for at, pico in enumerate(parts))
    )


def test_the_largest_parts_are_shown_and_the_others_summed() -> None:
    """Amounts are kept whatever their sign, equals by name; others are counted too."""
    shown = bounded(node("a", 1, -5, 3, 5), Bounds(width=2))
    assert [(part.label, part.amount_pico) for part in shown.parts] == [
        ("a1", -5), ("a3", 5), ("and 2 more", 4),
    ]  # fmt: skip
    more = Node("b", 10, parts=(Node("x", 7),))
    assert bounded(more, Bounds(), Unseen(4, 3)).parts[-1] == Node("and 4 more", 3)
    assert sum_unseen([Unseen(4, 3), Unseen(1, -1)]) == Unseen(5, 2)
    assert sum_unseen([]) == NOTHING_UNSEEN


def test_what_fits_is_shown_whole() -> None:
    """No last part of nothing; a node without parts needs none to sum to it."""
    assert len(bounded(node("a", 1, 2), Bounds(width=2)).parts) == 2
    assert bounded(Node("leaf", 7), Bounds()) == Node("leaf", 7)


def test_parts_that_do_not_sum_are_no_breakdown() -> None:
    """The error has both amounts."""
    wrong = Node("a", 2 * 10**12, parts=(Node("x", 10**12),))
    with pytest.raises(BooksError, match=r"parts of 'a' sum to 1.00, not 2.00"):
        bounded(wrong, Bounds())


def test_a_tree_is_json_of_exact_text() -> None:
    """Amounts are decimal strings at every depth; ratios say quantity, whole and unit."""
    tree = Node("a", 1, "about", (Ratio("by time", 1, 3, "ns"),), (Node("b", 1),))
    told = tree.to_json()
    assert told["amount"] == "0.000000000001"
    assert told["ratios"] == [{"stage": "by time", "quantity": 1, "whole": 3, "unit": "ns"}]
    assert told["parts"] == [
        {"label": "b", "amount": "0.000000000001", "detail": "", "ratios": [], "parts": []}
    ]
    assert tree.ratios[0].text == "by time: 1 of 3 ns"
