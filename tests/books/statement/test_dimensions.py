"""Statements cut by ten dimensions."""

from __future__ import annotations

import pytest
from tests.support.explained import USD, company

from inferworks.books.statement.statement import Dimension, Statement, build_statement

NOWHERE = {"(unused capacity)": (0, 10)}
"""The time when nothing was on the node: nobody says where that is."""


def drawn() -> Statement:
    """The statement of the small company."""
    return build_statement(company())


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        ("provider", {"own": (140, 126), "solora": (30, 20), "(no provider)": (0, 64), **NOWHERE}),
        ("region", {"eu": (140, 126), "us": (30, 20), "(no region)": (0, 64), **NOWHERE}),
        ("chip", {"gpu-a": (140, 126), "(no chip)": (30, 84), **NOWHERE}),
        (
            "pool",
            {
                "machines": (0, 100),
                "people": (0, 50),
                "providers": (0, 20),
                "storage": (0, 40),
                "web": (0, 10),
                "(revenue)": (170, 0),
            },
        ),
        ("day", {"1970-01-01": (170, 170), "(unused capacity)": (0, 50)}),
    ],
)
def test_cuts_by_hand(dimension: str, expected: dict[str, tuple[int, int]]) -> None:
    """Revenue and cost in tenths.

    The replica's idle time stands with its region and chip: 8 of machine, 4 of repair, 0.60 of traffic.
    """
    rows = {
        row.name: (
            row.revenue_pico * 10 // USD,
            (row.cost_of_revenue_pico + row.research_and_development_pico) * 10 // USD,
        )
        for row in drawn().by(dimension)
    }
    assert rows == expected


def test_json_is_cut_by_what_is_asked_for() -> None:
    """Customers, models and purposes always; a region when asked."""
    document = drawn().to_json(Dimension.REGION)
    assert {"customers", "models", "purposes", "regions"} <= set(document)
    assert "regions" not in drawn().to_json()
