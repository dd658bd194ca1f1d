"""Cut a text at its first stop sequence, although the text comes in pieces.

A stop sequence may begin in one piece and end in another, so whatever could still become one is
held back until it has, or cannot any more. Nothing of a stop sequence is ever let through.
"""

from __future__ import annotations


class StopScanner:
    """Reads pieces and lets through what lies before the first stop sequence."""

    __slots__ = ("_held", "_stops")

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def feed(self, piece: str) -> tuple[str, bool]:
        """Return the text that may go out now, and whether a stop sequence was met."""
        if not self._stops:
            return piece, False
        text = self._held + piece
        cut = min((at for at in map(text.find, self._stops) if at >= 0), default=-1)
        if cut >= 0:
            self._held = ""
            return text[:cut], True
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def rest(self) -> str:
        """Return what was held back, now that no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that is a proper beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
