"""Escaping of CSV text that a spreadsheet would take for a formula.

A spreadsheet that opens CSV works out every cell that begins with `=`, `+`, `-` or `@`, also behind a tab
or a line break: a model called `=cmd|' /C calc'!A0` starts a program on the machine of a bill's reader.
Such a text is written with an apostrophe before it, which makes it text to every spreadsheet. So that
nothing is lost, a text that has apostrophes before such a beginning already gets one more; a reader of our
CSV removes one from exactly those. Numbers stay as they are, in text too.
"""

from __future__ import annotations

import re
from typing import Final

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def inert(text: str) -> str:
    """`text` as a cell that no spreadsheet works out."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def restored(cell: str) -> str:
    """The text of which `inert` made `cell`."""
    return cell[1:] if cell.startswith("'") and inert(cell[1:]) == cell else cell
