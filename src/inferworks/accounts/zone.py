"""Time zones by their IANA names, such as `Europe/Berlin`."""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Mapping
from typing import Final

from inferworks.errors import UserError

UTC: Final = "UTC"


def zone_name(text: str) -> str:
    """`text` as the name of a zone, spelled as it is listed. UserError, with the nearest, when unknown."""
    known = {name.casefold(): name for name in {UTC, *zoneinfo.available_timezones()}}
    name = known.get(text.strip().casefold().replace(" ", "_"))
    if name is None:
        raise UserError(f"there is no time zone {text[:80]!r}{_hint(text, known)}")
    return name


def _hint(text: str, known: Mapping[str, str]) -> str:
    """The nearest of `known`, by the whole name or by its city."""
    asked = text.strip().casefold().replace(" ", "_")
    cities = {key.rpartition("/")[2]: name for key, name in sorted(known.items())}
    for names in (known, cities):
        near = difflib.get_close_matches(asked, names, 1, cutoff=0.75)
        if near:
            return f"; did you mean {names[near[0]]}?"
    return "; write one like Europe/Berlin"
