"""Options of an import: answers to what the files leave open."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.books.bills.spelling import NOTHING_GIVEN, GivenSpelling, Order
from inferworks.books.deliveries.decide import Answer
from inferworks.books.workspace.import_options import ImportOptions, is_zone
from inferworks.errors import UserError


def test_nothing_is_answered_unless_it_is() -> None:
    """Empty options leave everything to the files."""
    assert ImportOptions().answer is None
    assert ImportOptions().spelling == NOTHING_GIVEN


def test_answers_are_those_that_readers_take() -> None:
    """An answer about overlaps, marks, the order of days and a zone."""
    options = ImportOptions(overlap="replace", decimal_mark=",", dates="DMY", zone="Europe/Berlin")
    assert options.answer is Answer.REPLACE
    assert options.spelling == GivenSpelling(",", Order.DAY_FIRST, "Europe/Berlin")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"overlap": "both"}, "overlap: 'both' is none of part, replace"),
        ({"decimal_mark": ";"}, "decimal_mark: ';' is none of ., ,"),
        ({"dates": "MYD"}, "dates: 'MYD' is none of"),
        ({"zone": "Europe/Berln"}, "zone: 'Europe/Berln' is no time zone"),
        ({"zone": 5}, "zone: 5 is no time zone"),
        ({"zone": None}, "zone: None is no time zone"),
        ({"overlap": None}, "overlap: None is none of part, replace"),
        ({"decimal_mark": 0}, "decimal_mark: 0 is none of"),
        ({"zone": "/etc/passwd"}, "zone: '/etc/passwd' is no time zone"),
    ],
)
def test_a_value_that_means_nothing_is_refused(options: dict[str, Any], reason: str) -> None:
    """With its name and what there is instead."""
    with pytest.raises(UserError) as refused:
        ImportOptions(**options)
    assert reason in str(refused.value)


@pytest.mark.parametrize("name", ["", "..", "../UTC", "Europe", "a\0b", "no/where"])
def test_what_is_no_zone(name: str) -> None:
    """Paths, folders of zones and what no file can be called."""
    assert not is_zone(name)
