"""Words for a value in a file of the user's that is not of its type, from msgspec's complaint.

msgspec says ``Expected `str` matching regex '^[A-Z]{3}$' - at `$.currency` ``. The user needs the place as
it is written, the value as it was given, and what may stand there: the choices, or the form in words. A
type says its form beside its pattern: `Meta(pattern="^[A-Z]{3}$", extra=form("three capital letters"))`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.visible import quoted

_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")


class Misfit(NamedTuple):
    """Fault of a value, and its place: `pool[0].when.class`; the place is empty for the whole."""

    place: str
    words: str

    def __str__(self) -> str:
        return f"{self.place}: {self.words}" if self.place else self.words


def form(words: str) -> dict[str, str]:
    """Return the `extra` of a `Meta` whose pattern `words` describe to people."""
    return {"form": words}


def misfit(error: msgspec.ValidationError, values: Any, kind: Any) -> Misfit:
    """Return what `error` says of `values`, which are not of the type `kind`."""
    from msgspec import inspect  # only where something is wrong

    text, _, path = str(error).partition(" - at ")
    path = path.strip("`").removeprefix("key in `").removeprefix("$")
    value, types = values, _alternatives(inspect.type_info(kind))
    for step in _STEP.finditer(path):
        name, index = step[1], step[2]
        types = [found for one in types for found in _inner(one, name, index)]
        value = _part(value, name, index)
    return Misfit(path.removeprefix("."), _words(text.replace("`", ""), value, types))


def near(name: str, known: Iterable[str]) -> str:
    """Return a question for the one of `known` that is probably meant; empty where none is near."""
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"; did you mean {folded[close[0]]}?" if close else ""


def _words(text: str, value: Any, types: list[Any]) -> str:
    shown = quoted(value)
    got = "" if value is None else f", got {shown}"  # none is known of one in a table of any keys
    choices = [str(choice) for one in types for choice in _choices(one) if choice != ""]
    if text.startswith("Invalid enum value") and choices:
        hint = near(value, choices) if isinstance(value, str) else ""
        given = "the value" if value is None else shown
        return f"{given} is none of {', '.join(choices)}{hint}"
    if " matching regex " in text:
        forms = [words for one in types if (words := _form(one))]
        return f"expected {forms[0] if forms else 'another form'}{got}"
    told = text[:1].lower() + text[1:]
    return told + got if told.startswith("expected") and ", got " not in told else told


def _part(value: Any, name: str | None, index: str | None) -> Any:
    if name is not None:
        return value.get(name) if isinstance(value, dict) else None
    if index is not None and isinstance(value, list | tuple) and int(index) < len(value):
        return value[int(index)]
    return None


def _alternatives(one: Any) -> list[Any]:
    """The types of a union, and those that descriptions stand around of."""
    if hasattr(one, "types"):
        return [inner for part in one.types for inner in _alternatives(part)]
    if hasattr(one, "extra"):
        return [one, *_alternatives(one.type)]
    return [one]


def _inner(one: Any, name: str | None, index: str | None) -> list[Any]:
    """The types of what `one` holds under that name or at that index."""
    if name is not None and hasattr(one, "fields"):
        return [t for f in one.fields if f.encode_name == name for t in _alternatives(f.type)]
    if index is not None and hasattr(one, "item_types"):
        return _alternatives(one.item_types[int(index)])
    inner = getattr(one, "value_type", None) or getattr(one, "item_type", None)
    return [] if inner is None else _alternatives(inner)


def _choices(one: Any) -> Iterable[Any]:
    if hasattr(one, "values"):
        return tuple(one.values)
    members: Iterable[Any] = getattr(one, "cls", ())
    return [m.value for m in members] if hasattr(members, "__members__") else ()


def _form(one: Any) -> str | None:
    extra = getattr(one, "extra", None) or {}
    found: str | None = extra.get("form")
    return found
