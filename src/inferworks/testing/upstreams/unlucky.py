"""Unusual forms of the same answer that vendors send, beyond the examples in their documentation.

Problem. A reader that is tried with the answers of a vendor's documentation fails on the vendor's own: a
count with a fraction, a null for an object, a comment before the first event, the calls of two tools with
the same index. Each was met by somebody's users first.

Decision. Each such form has a name, its source, and its change to a whole body, to the events of a stream,
or to their bytes. A form never changes the text, the calls or the counts, so the result of
reading it must equal that of the plain answer. A test names a form, or draws some by a seed. A form that
needs something (calls, usage) leaves an answer without it as it is.

Rejected: values drawn at random from the types of answers. No vendor would send most of them, and a test
has no expected result for them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar

Body = dict[str, Any]
Events = Sequence[Body]
CHAT, RESPONSES, MESSAGES, CONVERSE = "chat", "responses", "messages", "converse"
_JSON = frozenset({CHAT, RESPONSES, MESSAGES, CONVERSE})
_SSE = frozenset({CHAT, RESPONSES, MESSAGES})
_CHATS, _CLAUDE = frozenset({CHAT}), frozenset({MESSAGES})
_NAMED = frozenset({MESSAGES, RESPONSES})
_DONE = "Dstack-TEE/private-ai-gateway#114"
_SPEC = "https://html.spec.whatwg.org/multipage/server-sent-events.html"

Stage = Literal["body", "events", "framed"]
Change = Callable[[Any, Random], Any]
C = TypeVar("C", bound=Callable[..., Any])


class Form(NamedTuple):
    """One unlucky form."""

    dialects: frozenset[str]
    source: str
    """Report or specification of the form."""
    stage: Stage
    """Object of the change: a whole body and each event of a stream; all events of a stream; or the bytes
    of each, of which the last item is the end of the stream, which may be empty.
    """
    change: Change


FORMS: dict[str, Form] = {}
"""Name -> form, in the order in which they come about: bytes are cut last."""


def _form(
    name: str, dialects: frozenset[str], source: str, stage: Stage = "body"
) -> Callable[[C], C]:
    """Enter the change that is defined below into `FORMS`."""

    def enter(change: C) -> C:
        FORMS[name] = Form(dialects, source, stage, change)
        return change

    return enter


class Luck(NamedTuple):
    """Unlucky forms of an answer."""

    names: tuple[str, ...] = ()
    seed: int = 0

    def body(self, dialect: str, body: Body) -> Body:
        """A whole body in these forms."""
        for form, random in self._forms(dialect):
            if form.stage == "body":
                body = form.change(copy.deepcopy(body), random)
        return body

    def events(self, dialect: str, events: Iterable[Body]) -> Iterable[Body]:
        """The events of a stream in these forms."""
        for form, random in self._forms(dialect):
            if form.stage == "events":
                events = form.change(copy.deepcopy(list(events)), random)
            elif form.stage == "body":
                events = [form.change(copy.deepcopy(event), random) for event in events]
        return events

    def framed(self, dialect: str, events: Iterable[bytes], last: bytes = b"") -> Iterable[bytes]:
        """The bytes of a stream in these forms, `last` behind them."""
        if not self.names:
            return chain(events, [last])
        pieces: Iterable[bytes] = [*events, last]
        for form, random in self._forms(dialect):
            if form.stage == "framed":
                pieces = form.change(list(pieces), random)
        return [piece for piece in pieces if piece]

    def _forms(self, dialect: str) -> Iterator[tuple[Form, Random]]:
        for name, form in FORMS.items():
            if name in self.names and dialect in form.dialects:
                yield form, Random(f"{self.seed} {name}")  # noqa: S311 it guards nothing


def drawn(seed: int, dialect: str, most: int = 3) -> Luck:
    """Draw one to `most` of the forms of `dialect` by `seed`."""
    random = Random(f"{seed} {dialect}")  # noqa: S311 it guards nothing
    names = [name for name, form in FORMS.items() if dialect in form.dialects]
    return Luck(tuple(random.sample(names, random.randint(1, most))), seed)


def _objects(value: Any) -> Iterator[Body]:
    """Yield every object in `value`, outermost first, except arguments and echoed requests."""
    if isinstance(value, dict):
        yield value
        for name, part in value.items():
            if name not in {"input", "metadata", "json"}:
                yield from _objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from _objects(part)


def _pieces_of_calls(event: Body) -> list[Body]:
    return [
        piece
        for choice in event.get("choices") or ()
        for piece in (choice.get("delta") or {}).get("tool_calls") or ()
    ]


def _zeros(usage: Body) -> Body:
    return {name: 0 for name, value in usage.items() if isinstance(value, int)}


@_form(
    "extra fields", _JSON, "https://platform.openai.com/docs/api-reference/backward-compatibility"
)
def _extra_fields(body: Body, random: Random) -> Body:
    for one in list(_objects(body)):
        if "contentBlockIndex" not in one:
            one["x_new"] = random.choice([None, 7, "new", {"deep": [1.5, None]}, []])
    return body


@_form("other order", _JSON, "https://www.rfc-editor.org/rfc/rfc8259#section-4")
def _other_order(body: Body, random: Random) -> Body:
    for one in list(_objects(body)):
        names = list(one)
        random.shuffle(names)
        fields = {name: one[name] for name in names}
        one.clear()
        one.update(fields)
    return body


@_form("time with a fraction", frozenset({CHAT, RESPONSES}), "siyuan-note/siyuan#14787")
def _fraction(body: Body, random: Random) -> Body:
    for one in _objects(body):
        for name in {"created", "created_at"} & one.keys():
            one[name] += random.randrange(1, 1000) / 1000
    return body


_NULLABLE: Mapping[str, Any] = dict.fromkeys(
    (
        "system_fingerprint", "service_tier", "prompt_tokens_details", "completion_tokens_details",
        "cache_creation", "server_tool_use", "stop_sequence", "logprobs", "annotations",
        "cacheDetails", "metrics", "serviceTier", "incomplete_details",
    )
)  # fmt: skip


@_form("nulls", _JSON, "siyuan-note/siyuan#14787, QuantumNous/new-api#6822")
def _nulls(body: Body, _random: Random) -> Body:
    """Null where something might be told, none of it needed."""
    for one in list(_objects(body)):
        one.update((name, None) for name in _NULLABLE.keys() & one.keys())
        if one.get("delta") == {}:
            one["delta"] = None
        if one.get("choices") == []:
            one["choices"] = None
    if str(body.get("object", "")).startswith("chat.completion"):
        body["id"] = None
    return body


_NEEDLESS = frozenset(
    {
        "system_fingerprint", "created", "created_at", "object", "logprobs", "refusal", "service_tier",
        "stop_sequence", "cache_creation", "annotations", "sequence_number", "metrics", "serviceTier",
        "parallel_tool_calls", "tool_choice", "total_tokens", "totalTokens",
    }
)  # fmt: skip


@_form("needless left out", _JSON, "QuantumNous/new-api#6822")
def _without_needless(body: Body, _random: Random) -> Body:
    for one in list(_objects(body)):
        for name in _NEEDLESS & one.keys():
            del one[name]
    return body


@_form("counts as floats", _JSON, "https://www.rfc-editor.org/rfc/rfc8259#section-6")
def _counts_as_floats(body: Body, _random: Random) -> Body:
    for one in list(_objects(body)):
        for name, value in one.items():
            if name.endswith(("_tokens", "Tokens")) and isinstance(value, int):
                one[name] = float(value)
    return body


@_form("content in parts", _CHATS, "BerriAI/litellm#16911")
def _in_parts(body: Body, _random: Random) -> Body:
    for choice in body.get("choices") or ():
        said = choice.get("message") or choice.get("delta") or {}
        if isinstance(said.get("content"), str) and said["content"]:
            thought = [{"type": "text", "text": "Hm."}]
            text = {"type": "text", "text": said["content"]}
            said["content"] = [{"type": "thinking", "thinking": thought}, text]
    return body


@_form("role in each event", _CHATS, "https://docs.mistral.ai/api/")
def _role_in_each(body: Body, _random: Random) -> Body:
    for choice in body.get("choices") or ():
        if "delta" in choice:
            choice["delta"] = {"role": "assistant", **(choice["delta"] or {})}
    return body


@_form(
    "empty event first",
    _CHATS,
    "https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter",
    "events",
)
def _empty_first(events: Events, _random: Random) -> Iterator[Body]:
    """Begin with an event without content, as Azure does."""
    empty = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    yield {**empty, "prompt_filter_results": []}
    yield from events


@_form("usage on the finish", _CHATS, "router-for-me/CLIProxyAPI#4053", "events")
def _usage_on_finish(events: Events, _random: Random) -> Iterator[Body]:
    """The usage stands in the event that has the reason, and no event follows."""
    usage = next((event["usage"] for event in reversed(events) if event.get("usage")), None)
    for event in events:
        if not event["choices"]:
            continue
        event.pop("usage", None)
        if usage and any(choice["finish_reason"] for choice in event["choices"]):
            event["usage"] = usage
        yield event


@_form("zeros before the usage", _CHATS, "router-for-me/CLIProxyAPI#4964", "events")
def _zeros_first(events: Events, _random: Random) -> Iterator[Body]:
    """Each event counts, and all but the last to zero."""
    usage = next((event["usage"] for event in reversed(events) if event.get("usage")), None)
    for event in events:
        yield event if usage is None or event.get("usage") else {**event, "usage": _zeros(usage)}


@_form("zeros behind the usage", _CHATS, "router-for-me/CLIProxyAPI#4053", "events")
def _zeros_last(events: Events, _random: Random) -> Iterator[Body]:
    yield from events
    if events[-1].get("usage"):
        yield {**events[-1], "usage": _zeros(events[-1]["usage"])}


@_form("ids repeated", _CHATS, "ai-dynamo/dynamo#4723", "events")
def _ids_repeated(events: Events, _random: Random) -> Events:
    ids: dict[int, str] = {}
    for event in events:
        for piece in _pieces_of_calls(event):
            piece["id"] = ids.setdefault(piece["index"], piece.get("id", ""))
            piece["type"] = "function"
    return events


@_form("ids empty", _CHATS, "mcowger/plexus#691", "events")
def _ids_empty(events: Events, _random: Random) -> Events:
    """Behind the first piece of a call, id and name are empty strings and not left out."""
    for event in events:
        for piece in _pieces_of_calls(event):
            piece.setdefault("id", "")
            piece["function"].setdefault("name", "")
    return events


@_form("whole calls of index 0", _CHATS, "su-kaka/gcli2api#406", "events")
def _whole_calls(events: Events, _random: Random) -> list[Body]:
    """Each call in one event, and the number of each is 0."""
    calls: dict[int, Body] = {}
    kept = []
    for event in events:
        pieces = _pieces_of_calls(event)
        for piece in pieces:
            if piece["index"] in calls:
                function = calls[piece["index"]]["function"]
                function["arguments"] += piece["function"]["arguments"]
            else:
                calls[piece["index"]] = piece
                kept.append(event)
        if not pieces:
            kept.append(event)
    for call in calls.values():
        call["index"] = 0
    return kept


@_form("calls interleaved", _CHATS, "mcowger/plexus#691", "events")
def _interleaved(events: Events, _random: Random) -> Events:
    """Interleave the pieces of several calls; those of one call stay in their order."""
    places = [number for number, event in enumerate(events) if _pieces_of_calls(event)]
    calls: dict[int, list[Body]] = {}
    for number in places:
        calls.setdefault(_pieces_of_calls(events[number])[0]["index"], []).append(events[number])
    turns = [
        call[turn]
        for turn in range(max(map(len, calls.values()), default=0))
        for call in calls.values()
        if turn < len(call)
    ]
    mixed = list(events)
    for number, event in zip(places, turns, strict=True):
        mixed[number] = event
    return mixed


@_form("calls without index", _CHATS, "ollama/ollama#7881", "events")
def _without_index(events: Events, _random: Random) -> Events:
    """Drop the index of calls that follow each other; interleaved ones could not be told apart."""
    pieces = [piece for event in events for piece in _pieces_of_calls(event)]
    numbers = [piece["index"] for piece in pieces]
    if numbers == sorted(numbers):
        for piece in pieces:
            del piece["index"]
    return events


@_form("stop beside calls", _CHATS, "googleapis/python-genai#2868", "events")
def _stop_beside_calls(events: Events, _random: Random) -> Events:
    for event in events:
        for choice in event["choices"]:
            if choice["finish_reason"] == "tool_calls":
                choice["finish_reason"] = "stop"
    return events


@_form("arguments as an object", _CHATS, "huggingface/text-generation-inference#2461")
def _arguments_as_object(body: Body, _random: Random) -> Body:
    for choice in body.get("choices") or ():
        for call in choice.get("message", {}).get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return body


@_form(
    "thoughts in reasoning_content", _CHATS, "https://api-docs.deepseek.com/guides/thinking_mode"
)
def _thoughts(body: Body, _random: Random, name: str = "reasoning_content") -> Body:
    for choice in body.get("choices") or ():
        said = choice.get("message") or choice.get("delta") or {}
        if said.get("content"):
            said[name] = "Hm."
    return body


_form("thoughts in reasoning", _CHATS, "https://openrouter.ai/docs/use-cases/reasoning-tokens")(
    partial(_thoughts, name="reasoning")
)


@_form("input again as zero", _CLAUDE, "envoyproxy/ai-gateway#1631", "events")
def _input_again_as_zero(events: Events, _random: Random) -> Events:
    for event in events:
        if event["type"] == "message_delta" and "usage" in event:
            event["usage"] = {
                "input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                **event["usage"],
            }  # fmt: skip
    return events


@_form("usage again", _CLAUDE, "tensorzero/tensorzero#5481", "events")
def _usage_again(events: Events, _random: Random) -> Events:
    begun: Body = {}
    for event in events:
        if event["type"] == "message_start":
            begun = event["message"].get("usage") or {}
        if event["type"] == "message_delta" and "usage" in event:
            event["usage"] = {**begun, **event["usage"]}
    return events


_LAST = frozenset({"message_stop", "response.completed", "response.incomplete"})


@_form(
    "unknown events",
    _NAMED,
    "https://platform.claude.com/docs/en/build-with-claude/streaming",
    "events",
)
def _unknown_events(events: Events, random: Random) -> Iterator[Body]:
    """Insert unknown kinds of events, which vendors may add and readers must skip."""
    for event in events:
        yield event
        if random.random() < 0.5 and event.get("type") not in _LAST:
            yield {"type": "ping"} if random.random() < 0.5 else {"type": "new.event", "x": [1]}


FORMS |= {
    "comment first": Form(_SSE, "openclaw/clawrouter#101", "framed", lambda pieces, _: [
        b": OPENROUTER PROCESSING\n\n", *pieces
    ]),
    "comments between": Form(_SSE, _SPEC, "framed", lambda pieces, _: [
        part for piece in pieces for part in (b": keep-alive\n\n" if piece else b"", piece)
    ]),
    "lines end with CRLF": Form(_SSE, _SPEC, "framed", lambda pieces, _: [
        piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for piece in pieces
    ]),
    # a stream may have ids and retry times, which no client of these needs
    "ids and waits": Form(_SSE, _SPEC, "framed", lambda pieces, _: [
        b"id: %d\nretry: 3000\n%b" % (number, piece) for number, piece in enumerate(pieces) if piece
    ]),
    "no space behind data": Form(_SSE, _SPEC, "framed", lambda pieces, _: [
        piece.replace(b"data: ", b"data:", 1) for piece in pieces
    ]),
    "no names": Form(_NAMED, "router-for-me/CLIProxyAPI#5028", "framed", lambda pieces, _: [
        piece[piece.find(b"data:") :] for piece in pieces
    ]),
    "no [DONE]": Form(_CHATS, _DONE, "framed", lambda pieces, _: [*pieces[:-1], b""]),
    "[DONE] and a space": Form(_CHATS, _DONE, "framed", lambda pieces, _: [
        *pieces[:-1], pieces[-1].replace(b"[DONE]", b"[DONE] ")
    ]),
    "[DONE] and no end of line": Form(
        _CHATS, "router-for-me/CLIProxyAPI#4884", "framed",
        lambda pieces, _: [*pieces[:-1], pieces[-1].rstrip(b"\r\n")],
    ),
}  # fmt: skip


@_form("cut anywhere", _JSON, "https://www.rfc-editor.org/rfc/rfc9112#section-7.1", "framed")
def _cut_anywhere(pieces: Sequence[bytes], random: Random) -> Iterator[bytes]:
    """Cut the stream into pieces that end amid an event, or hold several at once."""
    left = b"".join(pieces)
    while left:
        size = random.choice([1, 2, 3, 7, 50, 300])
        yield left[:size]
        left = left[size:]
