"""Time zones by their IANA names, such as `Europe/Berlin`."""

from __future__ import annotations

import difflib
import zoneinfo
from typing import Final

from inferworks.errors import UserError

UTC: Final = "UTC"


def zone_name(text: str) -> str:
    """`text` as the name of a zone, spelled as it is listed. UserError, with the nearest, when unknown."""
    known = {name.casefold(): name for name in {UTC, *zoneinfo.available_timezones()}}
    asked = text.strip().casefold().replace(" ", "_")
    if asked in known:
        return known[asked]
    cities = {key.rpartition("/")[2]: name for key, name in sorted(known.items())}
    near = [
        names[key]
        for names in (known, cities)
        for key in difflib.get_close_matches(asked, names, 1, cutoff=0.75)
    ]
    hint = f"did you mean {near[0]}?" if near else "write one like Europe/Berlin"
    raise UserError(f"there is no time zone {text[:80]!r}; {hint}")
