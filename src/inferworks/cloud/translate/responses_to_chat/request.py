"""A request of OpenAI's responses in the words of its chat completions.

Items become messages in their order. A turn of the assistant may be several items there (what it thought,
what it said, and each function that it called) and is one message here, so they are put together again.
In a chat every call is answered right behind the turn that made it, while a response's input may have
other things between; these are held until the last answer has come. What a function shows follows in a
message of the user (`tool_results`), other tools become functions (`responses_tools`).

Thoughts that we gave out (`reasoning_text`) go back as `reasoning_content`, which some thinking models
demand beside their calls (Wei-Shaw/sub2api#5520); OpenAI's own are sealed and mean nothing to anybody else.

What only the maker of a response could do is refused: to go on from what it has stored. The limit of an
answer goes by its old name `max_tokens`, which every upstream knows that has chats
but no responses; instructions and the messages of developers go as `system` for the same reason.

Sources: https://platform.openai.com/docs/api-reference/responses/create and /chat/create,
https://platform.openai.com/docs/guides/migrate-to-responses
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.chat_fit import fit_chat
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    Omissions,
    cannot,
    passed,
    read_request,
    set_if,
)
from inferworks.cloud.translate.responses_tools import (
    function_name,
    functions,
    offered,
    past_call,
)
from inferworks.cloud.translate.sent_names import RESPONSES_TO_CHAT
from inferworks.cloud.translate.tool_results import (
    OPENAI_ID_CHARACTERS,
    SHOWN_BELOW,
    short_id,
    shown_by,
)
from inferworks.dialects.openai_responses import (
    NULL,
    ContentPart,
    FullResponsesRequest,
    InputItem,
    Reasoning,
    TextFormat,
    TextOptions,
    ToolChoice,
    read_content,
    read_full_responses,
)
from inferworks.errors import CallError

_RULES = FieldRules(
    "a chat API",
    same={
        "model", "stream", "temperature", "top_p", "presence_penalty", "frequency_penalty", "user",
        "service_tier",
    },
    translated={
        "input", "instructions", "max_output_tokens", "tools", "tool_choice", "parallel_tool_calls",
        "text", "reasoning", "include", "top_logprobs", "store", "previous_response_id", "conversation",
    },
    dropped={
        "metadata", "max_tool_calls", "stream_options", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prompt_cache_options",
    },
    wishes={"truncation": ("disabled",), "moderation": (), "access_programs": ()},
    refused={
        "background": (False,),
        "prompt": (),
        "context_management": ([],),
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
_RUN_BY_OPENAI: Final = frozenset(
    {
        "code_interpreter_call", "file_search_call", "image_generation_call", "mcp_approval_request",
        "mcp_approval_response", "mcp_call", "mcp_list_tools", "tool_search_call", "web_search_call",
    }
)  # fmt: skip
"""Items of what OpenAI ran itself. What came of it stands in what was said; they are left out."""
_SILENT: Final = frozenset({"additional_tools", "tool_search_output"})
"""Items that say nothing: the tools that they bring are offered with the others."""


def chat_request(call: Call, omissions: Omissions) -> bytes:
    """The chat that `call` asks for. CallError 400 for what a chat cannot do."""
    request = read_request(call.body, read_full_responses)
    whole = "nothing is kept here: send the whole conversation in 'input'"
    if request.previous_response_id is not None:
        raise cannot("previous_response_id", f"cannot be used, for {whole}", "previous_response_id")
    if request.conversation != NULL:
        raise cannot("conversation", f"cannot be used, for {whole}", "conversation")
    if request.store:
        why = "cannot be true, for responses of this model are not kept"
        omissions.refuse("store", why, "store")
    text, reasoning = request.text or TextOptions(), request.reasoning or Reasoning()
    fields = passed(call.body, _RULES, omissions)
    chat = _Chat()
    if request.instructions is not None:
        chat.say({"role": "system", "content": request.instructions})
    if isinstance(request.input, str):
        chat.say({"role": "user", "content": request.input})
    else:
        for number, item in enumerate(request.input or ()):
            _put(item, f"input[{number}]", chat, omissions)
    fields["messages"] = chat.whole()
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
    fields |= _tool_fields(request, omissions)
    return msgspec.json.encode(fit_chat(fields, call.facts, omissions.called(RESPONSES_TO_CHAT)))


class _Chat:
    """Messages in the order that a chat wants: every answer behind the turn that called for it."""

    def __init__(self) -> None:
        self.messages: list[Fields] = []
        self._turn: Fields | None = None
        """The turn of the assistant that what follows belongs to."""
        self._thought = ""
        """Reasoning before the turn that it belongs to."""
        self._waiting: set[str] = set()
        """Calls that are not answered yet."""
        self._shown: list[Fields] = []
        self._held: list[Fields] = []

    def say(self, message: Fields) -> None:
        """Add a message of the user, or an instruction."""
        if self._waiting:
            self._held.append(message)
        else:
            self._release()
            self.messages.append(message)

    def think(self, thought: str) -> None:
        """Add reasoning of the assistant, before or amid a turn."""
        self._thought += thought

    def speak(self, text: str) -> None:
        """Add text of the assistant: a turn of its own, unless calls are open or just made."""
        turn = self._turn
        if turn is None or not (self._waiting or "tool_calls" in turn):
            self._begin(text)
        else:
            turn["content"] = (turn["content"] or "") + text
            self._add_thought(turn)

    def call(self, call_id: str, function: Fields) -> None:
        """A function that the assistant called."""
        turn = self._turn or self._begin(None)
        self._add_thought(turn)
        call = {"id": call_id, "type": "function", "function": function}
        turn.setdefault("tool_calls", []).append(call)
        self._waiting.add(call_id)

    def answer(self, call_id: str, text: str, shown: list[Fields]) -> None:
        """Add the result of a function: its text, and the parts that are shown beside it."""
        if not self._waiting:
            self._release()
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        self._waiting.discard(call_id)
        self._shown += shown
        if not self._waiting:
            self._turn = None

    def whole(self) -> list[Fields]:
        """All messages."""
        self._release()
        return self.messages

    def _begin(self, text: str | None) -> Fields:
        self._release()
        turn: Fields = {"role": "assistant", "content": text}
        self._add_thought(turn)
        self.messages.append(turn)
        self._turn = turn
        return turn

    def _add_thought(self, turn: Fields) -> None:
        if self._thought:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + self._thought
            self._thought = ""

    def _release(self) -> None:
        """Add the messages that were held back."""
        if self._shown:
            self.messages.append({"role": "user", "content": self._shown})
        self.messages += self._held
        self._shown, self._held, self._turn = [], [], None


def _put(item: InputItem, place: str, chat: _Chat, omissions: Omissions) -> None:
    match item.type:
        case "message" | "":
            role = _ROLES.get(item.role)
            if role is None:
                why = "must be user, assistant, system or developer"
                raise cannot(f"{place}.role", why, place)
            if role != "assistant":
                content = _content(item.content, f"{place}.content")
                chat.say({"role": role, "content": content})
                return
            said = _parts(item.content, f"{place}.content")
            if not isinstance(said, str):  # several parts are one text, as upstreams expect it
                said = "".join(part.text or part.refusal for part in said)
            chat.speak(said)
        case "function_call" | "custom_tool_call":
            chat.call(short_id(item.call_id, OPENAI_ID_CHARACTERS), past_call(item))
        case "function_call_output" | "custom_tool_call_output":
            call_id = short_id(item.call_id, OPENAI_ID_CHARACTERS)
            content = _content(item.output, f"{place}.output")
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            words = "\n".join(part["text"] for part in parts if part["type"] == "text")
            shown = [part for part in parts if part["type"] != "text"]
            if shown:
                shown.insert(0, {"type": "text", "text": shown_by(call_id)})
            chat.answer(call_id, words or (SHOWN_BELOW if shown else ""), shown)
        case "reasoning":
            thought = _parts(item.content, f"{place}.content")
            if not isinstance(thought, str):
                thought = "".join(part.text for part in thought)
            chat.think(thought)
        case kind if kind in _SILENT:
            pass
        case kind if kind in _RUN_BY_OPENAI:
            omissions.names.append(f"{place}:{kind}")
        case kind:
            raise cannot(
                place, f"is of the type {kind[:60]!r}, which this model cannot be sent", place
            )


def _content(raw: msgspec.Raw, place: str) -> str | list[Fields]:
    """Content in a chat's parts; one text is a text."""
    content = _parts(raw, place)
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{place}[{number}]") for number, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _parts(raw: msgspec.Raw, place: str) -> str | list[ContentPart]:
    try:
        content = read_content(raw)
    except msgspec.DecodeError as error:
        raise CallError(
            400, f"Invalid '{place}': {error}", code="invalid_value", param=place
        ) from error
    return "" if content is None else content


def _part(part: ContentPart, place: str) -> Fields:
    """A part as a chat has it. CallError 400 for one of another kind, or stored at OpenAI alone."""
    match part:
        case ContentPart(type="input_text" | "output_text" | "text"):
            return {"type": "text", "text": part.text}
        case ContentPart(type="input_image", image_url=str(url)):
            image: Fields = {"url": url}
            set_if(image, "detail", part.detail)
            return {"type": "image_url", "image_url": image}
        case ContentPart(type="input_file", file_data=str(data)):
            file: Fields = {"file_data": data}
            set_if(file, "filename", part.filename)
            return {"type": "file", "file": file}
        case ContentPart(type="input_audio") if part.input_audio != NULL:
            return {"type": "input_audio", "input_audio": part.input_audio}
        case ContentPart(type="input_image" | "input_file" | "input_audio"):
            what = "has no data of its own"
        case _:
            what = f"is of the type {part.type!r}"
    raise cannot(place, f"{what}, which this model cannot be sent", place)


def _tool_fields(request: FullResponsesRequest, omissions: Omissions) -> Fields:
    """`tools` and what belongs to them; a chat refuses the rest without tools.

    CallError 400 where `tool_choice` orders a tool that a chat cannot have.
    """
    tools, unknown = offered(request)
    omissions.names += unknown
    wanted = request.tool_choice
    choice: str | Fields | None
    if not isinstance(wanted, ToolChoice):
        choice = wanted
    elif wanted.type == "allowed_tools":
        choice = wanted.mode
        allowed = {tool.name for tool in wanted.tools}
        tools = [t for t in tools if t.tool.name in allowed or t.namespace in allowed]
    elif wanted.type in {"function", "custom"}:
        name = function_name(wanted.name, wanted.namespace)
        if all(tool.function != name for tool in tools):  # of a namespace that is not said
            name = next((tool.function for tool in tools if tool.tool.name == wanted.name), name)
        choice = {"type": "function", "function": {"name": name}}
    else:
        kind = wanted.type[:60]
        why = f"is of the type {kind!r}, which this model does not have; functions can be used"
        raise cannot("tool_choice", why, "tool_choice")
    if choice == "required" and not tools:
        why = "asks for a call of a tool, and this model can have none of those that are given"
        raise cannot("tool_choice", why, "tool_choice")
    if not tools:
        return {}
    fields: Fields = {"tools": functions(tools)}
    set_if(fields, "parallel_tool_calls", request.parallel_tool_calls)
    set_if(fields, "tool_choice", choice)
    return fields


def _response_format(wanted: TextFormat | None) -> Fields | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    schema: Fields = {"name": wanted.name, "schema": wanted.schema}
    set_if(schema, "description", wanted.description)
    set_if(schema, "strict", wanted.strict)
    return {"type": "json_schema", "json_schema": schema}
