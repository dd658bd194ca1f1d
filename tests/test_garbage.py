"""Work without the collector of cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from inferworks.garbage import uncollected


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """The collector is on, as it is usually, and afterwards as it was."""
    was_on = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was_on else gc.disable)()


def test_it_is_off_within_and_on_afterwards() -> None:
    """Also after an error."""
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        _ = 1 / 0
    assert gc.isenabled()


def test_blocks_within_each_other_leave_it_off_until_the_outer_ends() -> None:
    """The inner one found it off and leaves it so."""
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    """A program that does without the collector is not made to have one."""
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
