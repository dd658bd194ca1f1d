"""Vendors that speak OpenAI's dialect: their refusals and wording, as rows of differences.

A row begins from OpenAI's types; it may add fields to them and take others away, leave them open, and has
rules and wording of its own.

Sources: https://platform.openai.com/docs/api-reference, https://api-docs.deepseek.com/api/create-chat-completion,
https://docs.mistral.ai/api/#tag/chat, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

import msgspec

from inferworks.testing.upstreams import openai_rules
from inferworks.testing.upstreams.openai_order import chat_order, misplaced_picture
from inferworks.testing.upstreams.openai_words import body_of, worded, written
from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.strict import (
    Bound,
    Refusal,
    RequestType,
    flaw_of,
    request_type,
)

_CHAT = "/chat/completions"
_ANY: Mapping[str, object] = {}


class Vendor:
    """Vendor that speaks OpenAI's dialect; this one refuses nothing."""

    tells_usage = False
    """True when its streams tell their usage without being asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def refusal(self, path: str, request: Body) -> Refusal | None:
        """Refusal of a request at the path of an operation; None when it is served."""
        return None

    def body(self, refusal: Refusal) -> bytes:
        """Error body for a refusal."""
        return body_of(refusal)


class _OpenAi(Vendor):
    def refusal(self, path: str, request: Body) -> Refusal | None:
        misplaced = misplaced_picture(request) if path == _CHAT else None
        return misplaced or openai_rules.refusal_of(path, request)


def _chats(
    bounds: tuple[Bound, ...] = (),
    *,
    also: Collection[str] = (),
    lacks: Collection[str] = (),
    is_open: bool = False,
) -> RequestType:
    """OpenAI's type of a chat with fields added and taken away."""
    kind = request_type("openai_chat", bounds, is_open=is_open)
    fields = {**kind.schema["properties"], **dict.fromkeys(also, _ANY)}
    left = {name: field for name, field in fields.items() if name not in lacks}
    return msgspec.structs.replace(kind, schema={**kind.schema, "properties": left})


_VLLM = _chats(is_open=True)
"""Rules of vLLM, whose models allow extra fields: vllm/entrypoints/openai/protocol.py."""


class _Vllm(Vendor):
    def refusal(self, path: str, request: Body) -> Refusal | None:
        flaw = flaw_of(request, _VLLM) if path == _CHAT else None
        if flaw is None:
            return None
        where = ", ".join(repr(part) for part in ("body", *flaw.place))
        message = (
            f"1 validation error:\n  {{'type': '{flaw.keyword}', 'loc': ({where}), 'input': ...}}"
        )
        return Refusal(message, written(flaw.place), "400", kind="BadRequestError")

    def body(self, refusal: Refusal) -> bytes:
        error = {
            "message": refusal.message, "type": refusal.kind, "param": refusal.param,
            "code": refusal.status,
        }  # fmt: skip
        return json.dumps({"error": error}).encode()


_DEEPSEEK = _chats(
    (
        Bound("stop", {"maxItems": 16}, "https://api-docs.deepseek.com/api/create-chat-completion"),
        Bound("temperature", {"minimum": 0, "maximum": 2}, "https://api-docs.deepseek.com"),
        Bound("top_logprobs", {"minimum": 0, "maximum": 20}, "https://api-docs.deepseek.com"),
    ),
    is_open=True,
)
_VARIANTS = ("system", "user", "assistant", "tool")


class _DeepSeek(Vendor):
    def refusal(self, path: str, request: Body) -> Refusal | None:
        # its parser, serde, refuses unknown variants, but not unknown fields
        if path not in (_CHAT, "/completions", "/beta/completions"):
            return Refusal("Not Found", status=404)
        if path != _CHAT:
            return None
        flaw = flaw_of(request, _DEEPSEEK)
        if flaw is not None and flaw.keyword == "required":
            return _deserialization(f"missing field `{flaw.place[-1]}`")
        if flaw is not None:
            return _deserialization(f"invalid value for {written(flaw.place)}")
        for number, message in enumerate(request["messages"]):
            content = message.get("content")
            parts = content if isinstance(content, list) else ()
            if message["role"] not in _VARIANTS:
                names = ", ".join(f"`{name}`" for name in _VARIANTS)
                found = f"unknown variant `{message['role']}`, expected one of {names}"
                return _deserialization(f"messages[{number}]: {found}")
            kind = next((part.get("type") for part in parts if part.get("type") != "text"), "text")
            if kind != "text":
                return _deserialization(
                    f"messages[{number}]: unknown variant `{kind}`, expected `text`"
                )
        wanted = (request.get("response_format") or {}).get("type")
        if wanted == "json_schema":
            return Refusal("This response_format type is unavailable now", None, _CODE)
        return chat_order(request) or _lost_thoughts(request)


_CODE = "invalid_request_error"


def _deserialization(why: str) -> Refusal:
    message = f"Failed to deserialize the JSON body into the target type: {why} at line 1 column 1"
    return Refusal(message, None, _CODE, status=422 if why.startswith("missing") else 400)


def _lost_thoughts(request: Body) -> Refusal | None:
    """Calls that were thought about must come back with the thoughts.

    Sources: https://api-docs.deepseek.com/guides/thinking_mode#tool-calls, mnfst/modelparams.dev#29.
    """
    thinking = request.get("thinking") or {}
    is_thinker = re.search("reasoner|v4|thinking", request["model"]) is not None
    if thinking.get("type", "enabled" if is_thinker else "disabled") == "disabled":
        return None
    for message in request["messages"]:
        if message.get("tool_calls") and message.get("reasoning_content") is None:
            why = "The `reasoning_content` in the thinking mode must be passed back to the API."
            return Refusal(why, None, _CODE)
    return None


_MISTRAL = _chats(
    (
        Bound("temperature", {"minimum": 0, "maximum": 1.5}, "https://docs.mistral.ai/api/#tag/chat"),
        Bound("top_p", {"minimum": 0, "maximum": 1}, "https://docs.mistral.ai/api/#tag/chat"),
        Bound("messages", {"minItems": 1}, "https://docs.mistral.ai/api/#tag/chat"),
        Bound("messages[]", {"isOpen": True}, "https://docs.mistral.ai/api/#tag/chat"),
    ),
    also=("random_seed", "safe_prompt", "prompt_mode", "guardrails", "tool_choice"),
    lacks=(
        "seed", "user", "max_completion_tokens", "logprobs", "top_logprobs", "logit_bias", "store",
        "functions", "function_call", "service_tier", "modalities", "audio", "verbosity",
        "web_search_options", "safety_identifier", "prompt_cache_retention", "moderation",
    ),
)  # fmt: skip
_NINE = re.compile("[a-zA-Z0-9]{9}")


class _Mistral(Vendor):
    tells_usage = True

    def refusal(self, path: str, request: Body) -> Refusal | None:
        if path != _CHAT:
            return None
        flaw = flaw_of(request, _MISTRAL)
        if flaw is not None:
            kinds = {
                "additionalProperties": ("extra_forbidden", "Extra inputs are not permitted"),
                "required": ("missing", "Field required"),
            }
            kind, said = kinds.get(
                flaw.keyword, ("value_error", worded(flaw, is_older=False).message)
            )
            detail = [{"type": kind, "loc": ["body", *flaw.place], "msg": said}]
            return Refusal(json.dumps({"detail": detail}), status=422)
        choice = request.get("tool_choice")
        function = choice.get("function") if isinstance(choice, dict) else {"name": ""}
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            place = ["body", "tool_choice", "ToolChoice", "function"]
            detail = [{"type": "missing", "loc": place, "msg": "Field required"}]
            return Refusal(json.dumps({"detail": detail}), status=422)
        return _mistral_order(request["messages"])

    def body(self, refusal: Refusal) -> bytes:
        message = json.loads(refusal.message) if refusal.status == 422 else refusal.message
        body = {
            "object": "error", "message": message, "type": refusal.kind, "param": None,
            "code": refusal.code,
        }  # fmt: skip
        return json.dumps(body).encode()


def _mistral_order(messages: Sequence[Body]) -> Refusal | None:
    """Roles and ids.

    Sources: LibreChat-AI/agents#344 (a user behind a tool), vercel/ai#1883 (ids of nine characters).
    """
    before = ""
    for message in messages:
        role = message["role"]
        if before == "tool" and role not in ("tool", "assistant"):
            return _mistral_said(f"Unexpected role '{role}' after role 'tool'", "3230")
        ids = [call["id"] for call in message.get("tool_calls") or ()]
        for said in [*ids, *([message["tool_call_id"]] if role == "tool" else [])]:
            if _NINE.fullmatch(said) is None:
                why = f"Tool call id was {said} but must be a-z, A-Z, 0-9, with a length of 9."
                return _mistral_said(why, "3280")
        before = role
    if before == "assistant" and not messages[-1].get("prefix"):
        expected = "Expected last role User or Tool (or Assistant with prefix True)"
        why = f"{expected} for serving but got assistant"
        return _mistral_said(why, "3230")
    return None


def _mistral_said(message: str, code: str) -> Refusal:
    return Refusal(message, None, code, kind="invalid_request_message_order")


OPENAI = _OpenAi("openai")
VLLM = _Vllm("vllm")
DEEPSEEK = _DeepSeek("deepseek")
MISTRAL = _Mistral("mistral")
