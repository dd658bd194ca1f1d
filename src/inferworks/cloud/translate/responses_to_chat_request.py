"""A request of OpenAI's responses in the words of its chat completions.

Items become messages in their order. A turn of the assistant may be several items there (what it said, and
each function that it called) and is one message here, so they are put together again. Thoughts are left
out: a chat has nowhere to put them, and models answer without.

What only the maker of a response could do is refused: to go on from what it has stored, and to run its own
tools. The limit of an answer goes by its old name `max_tokens`, which every upstream knows that has chats
but no responses; instructions and the messages of developers go as `system` for the same reason.

Sources: https://platform.openai.com/docs/api-reference/responses/create and /chat/create,
https://platform.openai.com/docs/guides/migrate-to-responses
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    cannot,
    passed,
    read_request,
    set_if,
)
from inferworks.cloud.translate.responses_request import (
    NULL,
    Format,
    Item,
    Part,
    Reasoning,
    Request,
    Text,
    Tool,
    ToolChoice,
    read_content,
    read_responses_request,
)
from inferworks.errors import CallError

_RULES = FieldRules(
    "a chat API",
    translated={
        "input", "instructions", "max_output_tokens", "tools", "tool_choice", "parallel_tool_calls",
        "text", "reasoning", "include", "top_logprobs", "store", "previous_response_id", "conversation",
    },
    dropped={
        "metadata", "max_tool_calls", "stream_options", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prompt_cache_options",
    },
    refused={
        "background": (False,),
        "prompt": (),
        "truncation": ("disabled",),
        "context_management": ([],),
        "moderation": (),
        "access_programs": (),
        "image": (),
    },
)  # fmt: skip
_LOGPROBS: Final = "message.output_text.logprobs"
_ROLES: Final = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}


def chat_request(body: bytes) -> bytes:
    """The chat that `body` asks for. CallError 400 for what a chat cannot do."""
    request = read_request(body, read_responses_request)
    _check_state(request)
    text, reasoning = request.text or Text(), request.reasoning or Reasoning()
    fields = passed(body, _RULES)
    fields["messages"] = list(_messages(request))
    if not fields["messages"]:
        message = "Missing required parameter: 'input'."
        raise CallError(400, message, code="missing_required_parameter", param="input")
    set_if(fields, "max_tokens", request.max_output_tokens)
    set_if(fields, "reasoning_effort", reasoning.effort)
    set_if(fields, "verbosity", text.verbosity)
    set_if(fields, "response_format", _response_format(text.format))
    if request.top_logprobs or _LOGPROBS in (request.include or ()):
        fields["logprobs"] = True
        set_if(fields, "top_logprobs", request.top_logprobs)
    return msgspec.json.encode({**fields, **_tool_fields(request)})


def _check_state(request: Request) -> None:
    whole = "nothing is kept here: send the whole conversation in 'input'"
    if request.previous_response_id is not None:
        raise cannot("previous_response_id", f"cannot be used, for {whole}", "previous_response_id")
    if request.conversation != NULL:
        raise cannot("conversation", f"cannot be used, for {whole}", "conversation")
    if request.store:
        raise cannot("store", "cannot be true, for responses of this model are not kept", "store")


def _messages(request: Request) -> Iterator[Fields]:
    if request.instructions is not None:
        yield {"role": "system", "content": request.instructions}
    if isinstance(request.input, str):
        yield {"role": "user", "content": request.input}
        return
    yield from _together(_translated(request.input or []))


def _translated(items: list[Item]) -> Iterator[Fields]:
    """A message for each item; thoughts are left out."""
    for number, item in enumerate(items):
        place = f"input[{number}]"
        if item.type in {"message", ""}:
            yield _message(item, place)
        elif item.type == "function_call":
            yield {"role": "assistant", "content": None, "tool_calls": [_call(item)]}
        elif item.type == "function_call_output":
            content = _content(item.output, f"{place}.output")
            yield {"role": "tool", "tool_call_id": item.call_id, "content": content}
        elif item.type != "reasoning":
            why = f"is of the type {item.type!r}, which this model cannot be sent"
            raise cannot(place, why, place)


def _together(messages: Iterator[Fields]) -> Iterator[Fields]:
    """What the assistant said and called in one go as one message."""
    turn: Fields | None = None
    for message in messages:
        if turn is not None and "tool_calls" in message:
            turn.setdefault("tool_calls", []).extend(message["tool_calls"])
            continue
        if turn is not None:
            yield turn
        turn = message if message["role"] == "assistant" else None
        if turn is None:
            yield message
    if turn is not None:
        yield turn


def _call(item: Item) -> Fields:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _message(item: Item, place: str) -> Fields:
    role = _ROLES.get(item.role)
    if role is None:
        raise cannot(f"{place}.role", "must be user, assistant, system or developer", place)
    if role == "assistant":
        return _said(item, place)
    return {"role": role, "content": _content(item.content, f"{place}.content")}


def _said(item: Item, place: str) -> Fields:
    """A message of the assistant's: texts are one text, as upstreams expect to see it again."""
    content = _parts(item.content, f"{place}.content")
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    said = "".join(part.text or part.refusal for part in content)
    return {"role": "assistant", "content": said}


def _content(raw: msgspec.Raw, place: str) -> str | list[Fields]:
    """Content in a chat's parts; one text is a text."""
    content = _parts(raw, place)
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{place}[{number}]") for number, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _parts(raw: msgspec.Raw, place: str) -> str | list[Part]:
    try:
        content = read_content(raw)
    except msgspec.DecodeError as error:
        raise CallError(
            400, f"Invalid '{place}': {error}", code="invalid_value", param=place
        ) from error
    return "" if content is None else content


def _part(part: Part, place: str) -> Fields:
    translate = _PARTS.get(part.type)
    translated = None if translate is None else translate(part)
    if translated is None:
        what = "has no data of its own" if translate else f"is of the type {part.type!r}"
        raise cannot(place, f"{what}, which this model cannot be sent", place)
    return translated


def _text(part: Part) -> Fields:
    return {"type": "text", "text": part.text}


def _image(part: Part) -> Fields | None:
    """An image by address or as data; one that is stored at OpenAI is there only."""
    if part.image_url is None:
        return None
    image: Fields = {"url": part.image_url}
    set_if(image, "detail", part.detail)
    return {"type": "image_url", "image_url": image}


def _file(part: Part) -> Fields | None:
    if part.file_data is None:
        return None
    file: Fields = {"file_data": part.file_data}
    set_if(file, "filename", part.filename)
    return {"type": "file", "file": file}


def _audio(part: Part) -> Fields | None:
    if part.input_audio == NULL:
        return None
    return {"type": "input_audio", "input_audio": part.input_audio}


_PARTS: Mapping[str, Callable[[Part], Fields | None]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


def _tool_fields(request: Request) -> Fields:
    """`tools` and what belongs to them; a chat refuses the rest without tools."""
    choice = request.tool_choice
    tools = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(request.tools or ())]
    if isinstance(choice, ToolChoice) and choice.type == "allowed_tools":
        allowed = {tool.name for tool in choice.tools}
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        choice = choice.mode
    if not tools:
        return {}
    fields: Fields = {"tools": tools}
    set_if(fields, "parallel_tool_calls", request.parallel_tool_calls)
    set_if(fields, "tool_choice", _tool_choice(choice))
    return fields


def _tool(tool: Tool, place: str) -> Fields:
    if tool.type != "function":
        why = f"is of the type {tool.type!r}, which this model does not have; functions can be used"
        raise cannot(place, why, place)
    function: Fields = {"name": tool.name}
    set_if(function, "description", tool.description)
    set_if(function, "parameters", None if tool.parameters == NULL else tool.parameters)
    set_if(function, "strict", tool.strict)
    return {"type": "function", "function": function}


def _tool_choice(choice: str | ToolChoice | None) -> object:
    if not isinstance(choice, ToolChoice):
        return choice
    if choice.type != "function":
        why = (
            f"is of the type {choice.type!r}, which this model does not have; functions can be used"
        )
        raise cannot("tool_choice", why, "tool_choice")
    return {"type": "function", "function": {"name": choice.name}}


def _response_format(wanted: Format | None) -> Fields | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    schema: Fields = {"name": wanted.name, "schema": wanted.schema}
    set_if(schema, "description", wanted.description)
    set_if(schema, "strict", wanted.strict)
    return {"type": "json_schema", "json_schema": schema}
