"""Fields of the caller's request that the upstream was not sent: in the answer's head and on record.

The names are the caller's and as long and as many as it likes, while a header is short and plain ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_LONGEST_NAME: Final = 64
_LONGEST: Final = 512
_NOT_IN_NAMES: Final = re.compile(r"[^!-+\--~]")
"""All but visible ASCII; the comma is what stands between names."""


def left_out_text(names: Iterable[str]) -> str:
    """`names` as one line of at most 512 characters, each once: `a, b`; `...` stands for the others."""
    if not names:
        return ""
    told: dict[str, None] = {}
    length = 0
    for name in names:
        plain = _NOT_IN_NAMES.sub("?", name[:_LONGEST_NAME])
        if plain in told:
            continue
        length += len(plain) + 2
        if length > _LONGEST - len(", ..."):
            told["..."] = None
            break
        told[plain] = None
    return ", ".join(told)
