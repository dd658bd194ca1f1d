"""Values of arguments that are one of a few: refused in one line that names them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from inferworks.errors import UserError

Choice = TypeVar("Choice")


def one_of(name: str, value: object, known: Iterable[Choice]) -> Choice:
    """Return the one of `known` that equals `value`, the argument `name`; UserError naming all.

    >>> one_of("measure", "wall", ("wall", "processor"))
    'wall'
    """
    choices = list(known)
    for choice in choices:
        if choice == value:
            return choice
    raise UserError(f"{name}: {value!r} is none of {', '.join(map(str, choices))}")
