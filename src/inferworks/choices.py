"""Arguments of the library that mean nothing: refused in one line that says what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from inferworks.errors import UserError
from inferworks.visible import quoted

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
    raise UserError(f"{name}: {quoted(value)} is none of {', '.join(map(str, choices))}")


def within(name: str, value: object, least: int, most: int) -> int:
    """Return `value`, the argument `name`, an integer of `least` to `most`; UserError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise UserError(f"{name}: {quoted(value)} is no integer from {least} to {most}")


def path_of(name: str, value: object) -> Path:
    """Return the path that the argument `name` gives as text or Path; UserError for all else."""
    if not isinstance(value, (str, Path)):
        raise UserError(f"{name}: {quoted(value)} is no path; give text or a pathlib.Path")
    if "\0" in str(value):
        raise UserError(f"{name}: {quoted(str(value))} is no path: it has a null character")
    return Path(value)
