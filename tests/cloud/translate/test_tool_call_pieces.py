"""Calls of tools in a stream: which call a piece belongs to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.cloud.translate.tool_call_pieces import OpenCalls
from inferworks.dialects.openai_chat import ToolCallPiece


def calls(*pieces: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call that the pieces make, in the order in which they begin."""
    return [(call.id, call.name, "".join(call.arguments)) for call in taken(*pieces)[1]]


def taken(*pieces: dict[str, Any]) -> tuple[OpenCalls, list[Any]]:
    """The calls after these pieces."""
    open_calls, begun = OpenCalls(), []
    for piece in pieces:
        call, begins = open_calls.take(msgspec.convert(piece, ToolCallPiece))
        if begins:
            assert call.number == len(begun)
            begun.append(call)
    return open_calls, begun


def piece(
    index: int | None = None, id_: str = "", name: str = "", text: str = ""
) -> dict[str, Any]:
    """A piece of a call."""
    function = {"name": name, "arguments": text}
    told = {"index": index, "id": id_, "function": {k: v for k, v in function.items() if v}}
    return {k: v for k, v in told.items() if v not in (None, "")}


def test_two_calls_side_by_side() -> None:
    """As OpenAI sends them: a number each, the id and name with the first piece."""
    assert calls(
        piece(0, "c1", "f", ""), piece(1, "c2", "g"), piece(0, text='{"a"'), piece(1, text="{}"),
        piece(0, text=": 1}"),
    ) == [("c1", "f", '{"a": 1}'), ("c2", "g", "{}")]  # fmt: skip


def test_every_call_numbered_zero() -> None:
    """Another id with a name begins another call."""
    assert calls(piece(0, "c1", "f", "{}"), piece(0, "c2", "f", "{}")) == [
        ("c1", "f", "{}"), ("c2", "f", "{}"),
    ]  # fmt: skip


def test_no_number_at_all() -> None:
    """Pieces go on with the newest call, or with the one of their id."""
    assert calls(
        piece(None, "c1", "f"), piece(text="{"), piece(text="}"), piece(None, "c2", "g", "{}"),
        piece(None, "c1", "", " "),
    ) == [("c1", "f", "{} "), ("c2", "g", "{}")]  # fmt: skip


def test_an_id_that_is_made_up_with_every_piece() -> None:
    """Without a name it goes on with the call of its number."""
    assert calls(piece(0, "x1", "f", "{"), piece(0, "x2", "", "}"), piece(0, "x3", "", "")) == [
        ("x1", "f", "{}"),
    ]  # fmt: skip


def test_a_name_that_is_repeated_without_ids() -> None:
    """A piece begins another call once the arguments are whole, and goes on while they are not."""
    assert calls(piece(0, "", "f", '{"a"'), piece(0, "", "f", ": 1}")) == [("", "f", '{"a": 1}')]
    assert calls(piece(0, "", "f", "{}"), piece(0, "", "f", '{"b": 2}')) == [
        ("", "f", "{}"), ("", "f", '{"b": 2}'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cut"),
    [('{"a": 1}', False), ('{"a": ', True), ("", False), ("plain", False), (" {", True)],
)
def test_arguments_that_were_cut(text: str, cut: bool) -> None:
    """Arguments that begin as an object and are none; a text or nothing is not cut."""
    assert taken(piece(0, "c", "f", text))[0].are_cut is cut
