"""The views of the books on the command line: exact in JSON, 80 columns in tables, one line when wrong."""

from __future__ import annotations

import pytest
from tests.support.views import books, document

from inferworks.errors import UserError

VIEWS = (
    ("bridge",),
    ("economics",),
    ("compare", "gaap", "marginal"),
    ("methods",),
    ("explain", "customer:acme"),
    ("explain", "pool:machines"),
    ("statement", "--policy", "marginal"),
    ("statement", "--policy", "full"),
    *(("statement", "--by", name) for name in ("project", "key", "provider", "region", "chip")),
    *(("statement", "--by", name) for name in ("pool", "day")),
)

pytestmark = pytest.mark.usefixtures("november")


@pytest.mark.parametrize("arguments", VIEWS, ids=" ".join)
def test_views_fit_80_columns(arguments: tuple[str, ...]) -> None:
    """Every table and every tree, without colour where there is no terminal."""
    result = books(*arguments)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", VIEWS, ids=" ".join)
def test_views_of_a_period_are_those_of_its_dates(arguments: tuple[str, ...]) -> None:
    """`--period 2026-11` is November, as JSON, without floats."""
    november = ("--from", "2026-11-01", "--to", "2026-12-01")
    assert document(*arguments, "--period", "2026-11") == document(*arguments, *november)


def test_the_statement_of_a_month_has_its_parts_beside_each_line() -> None:
    """Billed, allocated, unallocated and lines as decimal strings; each line's charges sum to it."""
    drawn = document("statement", "--period", "2026-11")
    assert (drawn["billed"], drawn["allocated"], drawn["unallocated"]) == ("11.00", "11.00", "0.00")
    amounts = {
        (line["use"], line["pool"]): (line["amount"], [part["amount"] for part in line["parts"]])
        for line in drawn["lines"]
    }
    assert amounts == {
        ("serve-paid", "machines"): ("4.00", ["4.00"]),
        ("serve-paid", "web"): ("1.00", ["1.00"]),
        ("unused:idle", "machines"): ("6.00", ["6.00"]),
    }


def test_economics_give_an_interval() -> None:
    """Acme makes us buy traffic for 1, and uses 4 of the machine."""
    found = document("economics")
    assert found["one_more_customer_costs"] == {"short_run": "1.00", "capacity_inclusive": "5.00"}
    assert found["break_even"] == "1 customers like these cover it; there are 1"
    assert "Break-even: 1 customers" in books("economics").output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("explain", "acme"), "write KIND:NAME"),
        (("explain", "customer:wayne"), "no customer 'wayne'"),
        (("compare", "gaap", "ifrs"), "policy 'ifrs' not found"),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments: tuple[str, ...], reason: str) -> None:
    """The error says what is wrong, and what there is instead."""
    result = books(*arguments)
    assert isinstance(result.exception, UserError)
    assert reason in str(result.exception)
    assert "\n" not in str(result.exception)
