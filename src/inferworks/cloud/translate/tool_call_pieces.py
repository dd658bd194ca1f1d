"""Calls of tools in a stream of chat completions: which call a piece belongs to.

Some upstreams number every call of a tool 0, some give none of them a number, and some repeat an id with
every piece, or make up another one.
"""

from __future__ import annotations

from typing import Final

from inferworks.cloud.translate.fields import is_object
from inferworks.dialects.openai_chat import ToolCallPiece

_MOST_LOOKS: Final = 64
"""Most checks of one call's arguments, made when another call begins, or seems to."""


class OpenCall:
    """A call of a tool whose pieces are coming."""

    __slots__ = ("_looks", "arguments", "id", "name", "number")

    def __init__(self, number: int, piece: ToolCallPiece) -> None:
        self.number = number
        """Place among the calls."""
        self.id = piece.id or ""
        self.name = piece.function.name or ""
        self.arguments: list[str] = []
        self._looks = 0

    @property
    def is_whole(self) -> bool:
        """Return True when the call's arguments are whole, in the first checks: each reads all of them."""
        self._looks += 1
        return self._looks <= _MOST_LOOKS and is_object("".join(self.arguments))


class OpenCalls:
    """Assignment of each piece of a stream to its tool call.

    Neither the number nor the id of a piece is reliable: there are upstreams that number every call 0, and
    others that make up an id for every piece. Both begin a call with its name.
    """

    def __init__(self) -> None:
        self._calls: list[OpenCall] = []
        self._by_id: dict[str, OpenCall] = {}
        self._by_index: dict[int, OpenCall] = {}
        """The newest of each number."""

    @property
    def are_cut(self) -> bool:
        """True when there is a call whose arguments begin as an object and are not a whole one.

        Some engines say `tool_calls` then, though the limit of the answer has cut them
        (vllm-project/vllm#53269), and a client that believes it runs a tool with half of its arguments.
        """
        texts = ["".join(call.arguments).lstrip() for call in self._calls]
        return any(text.startswith("{") and not is_object(text) for text in texts)

    def take(self, piece: ToolCallPiece) -> tuple[OpenCall, bool]:
        """The call of `piece`, with its arguments, and whether it begins with it."""
        call = self._call_of(piece)
        begins = call is None
        if call is None:
            call = OpenCall(len(self._calls), piece)
            self._calls.append(call)
        if piece.id:
            self._by_id[piece.id] = call
        if piece.index is not None:
            self._by_index[piece.index] = call
        if piece.function.arguments:
            call.arguments.append(piece.function.written)
        return call, begins

    def _call_of(self, piece: ToolCallPiece) -> OpenCall | None:
        """The call that `piece` goes on with; None when it begins one."""
        if piece.id and piece.id in self._by_id:
            return self._by_id[piece.id]
        if piece.index is None:
            call = self._calls[-1] if self._calls else None
        else:
            call = self._by_index.get(piece.index)
        name = piece.function.name
        if call is None or not name:
            return call
        other = (piece.id and call.id) or name != call.name
        again = piece.function.arguments and call.is_whole
        return None if other or again else call
