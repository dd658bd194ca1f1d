"""`inferworks books compare`: two policies beside each other."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from tests.support.views import books, document

pytestmark = pytest.mark.usefixtures("november")


def test_a_comparison_names_what_moves() -> None:
    """From cost of revenue to committed: the machine's work, and not the traffic."""
    found = document("compare", "gaap", "marginal")
    assert found["policies"] == ["gaap", "marginal"]
    assert [(m["use"], m["from"], m["to"], m["amount"]) for m in found["moved"]] == [
        ("serve-paid", "cost-of-revenue", "committed", "4.00"),
    ]


def test_ones_own_policy_in_the_data_folder_is_compared_by_name() -> None:
    """A copy of gaap, called ours, differs in nothing."""
    text = (
        resources.files("inferworks.books.accounting")
        .joinpath("policies/gaap.toml")
        .read_text("utf-8")
    )
    Path("inferworks-data/policies").mkdir()
    Path("inferworks-data/policies/ours.toml").write_text(text.replace('"gaap"', '"ours"'))
    assert document("compare", "gaap", "ours")["moved"] == []
    assert document("statement", "--policy", "ours")["statement"]["policy"] == "ours"


def test_a_policy_beside_itself_has_two_columns() -> None:
    """Columns may share a name: each stays, under its own head."""
    lines = books("compare", "gaap", "gaap").stdout.splitlines()
    assert lines[2].split() == ["GAAP", "GAAP", "DIFFERENCE"]
    assert lines[3].split() == ["cost-of-revenue", "5.000000", "5.000000", "0.000000"]
