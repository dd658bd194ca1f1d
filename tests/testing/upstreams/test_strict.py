"""Requests checked against a vendor's types: which flaw is found, and that the types are the vendor's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inferworks.testing.upstreams.strict import Bound, Flaw, Tag, flaw_of, request_type

ROOT = Path(__file__).parents[3]
CHAT = request_type("openai_chat")
MESSAGES = request_type("anthropic_messages")
HI = {"role": "user", "content": "Hi"}


@pytest.mark.slow
def test_types_are_the_vendors() -> None:
    """The types checked are those of `openai`, `anthropic` and `botocore`, as they are installed."""
    command = [sys.executable, str(ROOT / "tools" / "write_types.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"run tools/write_types.py for:\n{result.stdout}{result.stderr}"


def chat(**fields: Any) -> Flaw | None:
    """Fault found in a chat, or None."""
    return flaw_of({"model": "m", "messages": [HI], **fields}, CHAT)


def test_the_first_flaw_is_named_by_its_keyword_and_place() -> None:
    """Of an array it has the number, of an object the name; of a union it is that of the member meant."""
    assert chat() is None
    assert chat(x=1) == Flaw("additionalProperties", ("x",), sorted(CHAT.schema["properties"]), 1)
    assert flaw_of({"model": "m"}, CHAT) == Flaw("required", ("messages",))
    assert chat(stop=[1]) == Flaw("type", ("stop", 0), ["string"], 1)
    assert chat(messages=[{**HI, "role": "tool"}]) == Flaw(
        "required", ("messages", 0, "tool_call_id")
    )
    part = {"type": "text", "text": None}
    flaw = chat(messages=[{**HI, "content": [part]}])
    assert flaw == Flaw(
        "type", ("messages", 0, "content", 0, Tag("text"), "text"), ["string"], None
    )


def test_a_member_that_there_is_not() -> None:
    """All that it may be are told."""
    flaw = chat(response_format={"type": "xml"})
    known = ["text", "json_schema", "json_object"]
    assert flaw == Flaw("enum", ("response_format", "type"), known, "xml")


def test_a_member_whose_tag_may_be_left_out() -> None:
    """A tool of Anthropic's without a type is one of the caller's own."""
    body = {"model": "m", "max_tokens": 1, "messages": [HI]}
    tool = {"name": "f", "input_schema": {"type": "object"}}
    assert flaw_of({**body, "tools": [tool]}, MESSAGES) is None
    flaw = flaw_of({**body, "tools": [{"name": "f"}]}, MESSAGES)
    assert flaw == Flaw("required", ("tools", 0, "custom", "input_schema"))


BOUNDS = (
    Bound("user", {"minLength": 1, "maxLength": 2, "pattern": "[a-z]+"}, "here"),
    Bound("messages", {"maxItems": 2}, "here"),
    Bound("messages[].name", {"maxLength": 3}, "here"),
    Bound("metadata", {"maxProperties": 1, "maxNameLength": 1}, "here"),
    Bound("n", {"minimum": 1, "maximum": 2}, "here"),
)


@pytest.mark.parametrize(
    ("fields", "keyword"),
    [
        ({"user": ""}, "minLength"),
        ({"user": "abc"}, "maxLength"),
        ({"user": "A"}, "pattern"),
        ({"messages": [HI] * 3}, "maxItems"),
        ({"messages": [{**HI, "name": "abcd"}]}, "maxLength"),
        ({"metadata": {"a": "", "b": ""}}, "maxProperties"),
        ({"metadata": {"ab": ""}}, "maxNameLength"),
        ({"n": 0}, "minimum"),
        ({"n": 3}, "maximum"),
        ({"n": 2.5}, "type"),
        ({"n": True}, "type"),
        ({"n": 2.0, "user": "ab"}, ""),
    ],
)
def test_bounds_that_no_type_has(fields: dict[str, Any], keyword: str) -> None:
    """Bounds are found by the field's path, whatever its type is called."""
    flaw = flaw_of({"model": "m", "messages": [HI], **fields}, request_type("openai_chat", BOUNDS))
    assert (flaw.keyword if flaw else "") == keyword


def test_an_open_type() -> None:
    """Fields that are not known pass, known ones do not pass as something else."""
    kind = request_type("openai_chat", is_open=True)
    body = {"model": "m", "messages": [{**HI, "x": 1}], "top_k": 5}
    assert flaw_of(body, kind) is None
    assert flaw_of({**body, "n": "2"}, kind) == Flaw("type", ("n",), ["integer", "null"], "2")
