"""Words for a value that is not of its type: the place, the value as it was given, what may stand there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from inferworks.misfit import form, misfit, near


class Metal(StrEnum):
    """Metals, for a test."""

    IRON = "iron"
    COPPER = "copper"


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """Part of a machine, for a test."""

    metal: Metal = Metal.IRON
    code: Annotated[str, Meta(pattern="^[A-Z]{3}$", extra=form("three capital letters"))] = "ABC"
    bare: Annotated[str, Meta(pattern="^x$")] = "x"


class Machine(msgspec.Struct, forbid_unknown_fields=True):
    """Machine, for a test."""

    parts: tuple[str | Part, ...] = ()
    named: dict[str, Part] = {}
    mode: Literal["", "Off", "on"] = ""
    volts: Annotated[int, Meta(le=9)] = 1
    pair: tuple[int, Metal] = (1, Metal.IRON)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": "ON"}, "mode: 'ON' is none of Off, on; did you mean on?"),
        ({"mode": "of"}, "mode: 'of' is none of Off, on; did you mean Off?"),
        ({"mode": 3}, "mode: expected str, got int"),
        ({"volts": 10}, "volts: expected int <= 9, got 10"),
        ({"parts": [{"metal": "zinc"}]}, "parts[0].metal: 'zinc' is none of iron, copper"),
        ({"parts": ["a", {"code": "abc"}]}, "parts[1].code: expected three capital letters, got 'abc'"),
        ({"parts": [{"bare": "y"}]}, "parts[0].bare: expected another form, got 'y'"),
        ({"parts": [3]}, "parts[0]: expected str | object, got int"),
        ({"pair": [1, "Iron"]}, "pair[1]: 'Iron' is none of iron, copper; did you mean iron?"),
        ({"named": {"a": {"code": "x"}}}, "named[...].code: expected three capital letters"),
        ({"Mode": "on"}, "object contains unknown field Mode"),
        ([], "expected object, got array"),
        ({"mode": "a" * 99}, f"mode: '{'a' * 79}... is none of Off, on"),
    ],
)  # fmt: skip
def test_a_misfit_is_told_as_it_was_written(values: Any, words: str) -> None:
    """The case of a value stays, no pattern is shown, and choices come with the nearest."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(values, Machine)
    assert str(misfit(caught.value, values, Machine)) == words


def test_near_heeds_no_case() -> None:
    """The nearest name is asked for as it is written; nothing is asked where none is near."""
    assert near("DRAIN", ("cancel", "Drain")) == "; did you mean Drain?"
    assert near("zzz", ("cancel", "Drain")) == ""
