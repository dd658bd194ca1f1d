r"""Text from outside, made harmless and visible for terminals and logs.

Names of models, customers and files, and the words of upstreams and bills, come from outside. An
escape sequence among them would move the cursor, retitle the window or hide a line; an override of the
direction of writing shows other words than there are; what has no width makes two names look the same; a
line break forges a line. All of that is shown as its escape, as Python writes it (`\x1b`, `\u202e`, `\n`).
What can be read, in whatever writing, stays as it is.

Escaping is done once, where text is printed: in `cli.show`, for the terminal and the log. Stored, sent and
exported text is left as it came. (Rejected: to refuse such names on arrival; there are many entrances, and
records must hold the text that was sent.)
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SPACE: Final = "Zs"
"""The category of spaces, which have a width, though Python calls all but one not printable."""
_NOT_ASCII_PRINTABLE: Final = re.compile(r"[^ -~]")


def visible(text: str) -> str:
    """`text` as one line in which everything can be seen."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def quoted(value: object, longest: int = 80) -> str:
    """Return `value` as Python writes it, cut where it is longer: for messages about what was given."""
    if isinstance(value, str | bytes):
        value = value[: longest + 1]  # writing all of it would take its time
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."


def visible_json(text: str) -> str:
    """The JSON `text`, laid out in lines, with the same meaning and nothing in it that cannot be seen."""
    return "\n".join(_NOT_ASCII_PRINTABLE.sub(_json_escape, line) for line in text.split("\n"))


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == _SPACE:
        return character
    return repr(character)[1:-1]


def _json_escape(found: re.Match[str]) -> str:
    if _visible(found[0]) == found[0]:
        return found[0]
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
