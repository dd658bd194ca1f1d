"""OpenAI's rules on the order and the content of messages.

Sources: https://platform.openai.com/docs/guides/function-calling; the words as reported in
OpenHands/OpenHands#7700 (pictures) and in langgenius/dify and openai/openai-python (tool messages).
"""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.strict import Refusal


def chat_order(request: Body) -> Refusal | None:
    """The first message that may not stand where it stands."""
    messages = request["messages"]
    unanswered: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in unanswered:
                return Refusal(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                    "message with 'tool_calls'.",
                    f"messages.[{number}].role",
                )
            unanswered.remove(message["tool_call_id"])
            continue
        if unanswered:
            return _unanswered(unanswered, number)
        unanswered = []
        if message["role"] == "assistant":
            unanswered = [call["id"] for call in message.get("tool_calls") or ()]
            if not any(message.get(name) for name in _SAYS) and message.get("content") is None:
                return Refusal(
                    "Invalid value for 'content': expected a string, got null.",
                    f"messages.[{number}].content",
                )
    if unanswered:
        return _unanswered(unanswered, len(messages))
    return None


_SAYS = ("tool_calls", "function_call", "refusal", "audio")
"""Fields that an assistant's message may have in place of a content."""


def _unanswered(ids: Sequence[str], number: int) -> Refusal:
    return Refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: "
        f"{', '.join(ids)}",
        f"messages.[{number}].role",
    )


def misplaced_picture(request: Body) -> Refusal | None:
    """A picture in a message that is not the user's; said before anything else is looked at."""
    messages = request.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        role = message.get("role", "user") if isinstance(message, dict) else "user"
        parts = message.get("content") if role != "user" else ()
        pieces = parts if isinstance(parts, list) else ()
        kinds = [part.get("type") for part in pieces if isinstance(part, dict)]
        if "image_url" in kinds:
            return Refusal(
                f"Invalid 'messages[{number}]'. Image URLs are only allowed for messages with role "
                f"'user', but this message with role '{role}' contains an image URL.",
                f"messages[{number}]",
                "invalid_value",
            )
    return None


def responses_order(request: Body) -> Refusal | None:
    """A call without its output, or an output without its call, among the items of the input."""
    given = request.get("input")
    items = given if isinstance(given, list) and not request.get("previous_response_id") else []
    called = {item["call_id"]: item["type"] for item in items if item.get("type") in _CALLS}
    for item in items:
        if item.get("type") in _OUTPUTS and item["call_id"] not in called:
            kind = _OUTPUTS[item["type"]]
            return Refusal(
                f"No tool call found for {kind} with call_id {item['call_id']}.", "input"
            )
    answered = {item["call_id"] for item in items if item.get("type") in _OUTPUTS}
    for call_id, kind in called.items():
        if call_id not in answered:
            return Refusal(f"No tool output found for {_CALLS[kind]} {call_id}.", "input")
    for number, item in enumerate(items):
        begins = _IDS.get(item.get("type", "message"))
        said = item.get("id")
        if begins and isinstance(said, str) and not said.startswith(begins):
            message = f"Invalid 'input[{number}].id': '{said}'. Expected an ID that begins with '{begins}'."
            return Refusal(message, f"input[{number}].id", "invalid_value")
    return None


_CALLS = {"function_call": "function call", "custom_tool_call": "custom tool call"}
_OUTPUTS = {
    "function_call_output": "function call output",
    "custom_tool_call_output": "custom tool call output",
}
_IDS = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}
"""Kind of item -> prefix of its id."""
