"""A chat that was put over from another dialect, in the form that the asked model takes.

A caller of chats is held to none of this: its bytes pass and the upstream decides. A caller of another
dialect never chose a chat's words, so we choose those that the model takes: what its limit is called, how
long a user's label may be, which efforts and forms of JSON it knows (`Call.facts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, Final

import msgspec

from inferworks.catalog.facts import ANYTHING, ModelFacts
from inferworks.cloud.translate.fields import Fields, Omissions, read_request
from inferworks.cloud.translate.tool_results import digest_id

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts, the least first."""
_SERVES: Final = "by the model that serves this"
_SAMPLING: Final[Mapping[str, tuple[Any, ...]]] = {
    "temperature": (1,),
    "top_p": (1,),
    "top_k": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
}
"""Wishes about how words are chosen -> the values that ask for nothing."""
_USUAL_TIERS: Final = (None, "auto", "default")
_SCHEMA: Final = "Answer with one JSON object and nothing else. It follows this JSON schema:\n"
"""Instruction before a schema, for a model that has no mode for one."""
_MORE_BELOW: Final = " [...] The rest stands among the instructions."
_ALL_PARTS: Final = len(ModelFacts().parts)
_SEEN: Final = "I have the results."
_NOT_SHOWN: Final = "(What stood here cannot be shown to this model.)"
_UNKNOWN_THOUGHT: Final = "(What was thought here is not known.)"
_read_limit: Final = msgspec.json.Decoder(int | None).decode
_read_number: Final = msgspec.json.Decoder(float | None).decode
_read_stops: Final = msgspec.json.Decoder(str | list[str] | None).decode
_ANY_OBJECT: Final = {"name": "answer", "schema": {"type": "object"}}


def fit_chat(fields: Fields, facts: ModelFacts, omissions: Omissions) -> Fields:
    """`fields` of a chat as the model takes them. CallError 400 for what it cannot be asked."""
    if facts is ANYTHING:
        return fields
    limit = _value(fields, "max_tokens", _read_limit)
    if limit is not None:
        del fields["max_tokens"]
        fields[facts.limit_field] = at_most(limit, facts)
    _fit_messages(fields, facts, omissions)
    user = _value(fields, "user")
    if not facts.user_length:
        fields.pop("user", None)
    elif isinstance(user, str) and len(user) > facts.user_length:
        fields["user"] = short_user(user, facts.user_length)
    _fit_tools(fields, facts, omissions)
    effort = fields.get("reasoning_effort")
    if effort is not None:
        fields["reasoning_effort"] = nearest_effort(effort, facts.efforts)
        if fields["reasoning_effort"] is None:
            del fields["reasoning_effort"]
            if effort != "none" or facts.efforts:  # a model that knows none does not think unasked
                omissions.leave_out("reasoning_effort")
    _fit_stops(fields, facts, omissions)
    _fit_sampling(fields, facts, omissions)
    _fit_format(fields, facts, omissions)
    if not facts.seed and fields.pop("seed", None) is not None:
        omissions.leave_out("seed")
    if not facts.verbosity and fields.pop("verbosity", "medium") != "medium":
        omissions.leave_out("verbosity")
    if not facts.service_tiers and "service_tier" in fields:
        tier = _value(fields, "service_tier")
        del fields["service_tier"]
        if tier not in _USUAL_TIERS:
            omissions.refuse("service_tier", f"is not known {_SERVES}", "service_tier")
    return fields


def _fit_messages(fields: Fields, facts: ModelFacts, omissions: Omissions) -> None:
    """Fit the messages: their thoughts, the ids of calls, their parts, and who speaks after a tool."""
    taken = {"text", *facts.parts} if len(facts.parts) < _ALL_PARTS else None
    fitted: list[Fields] = []
    for message in fields["messages"]:
        if facts.thoughts == "refused":
            message.pop("reasoning_content", None)
        elif facts.thoughts != "taken" and message.get("tool_calls"):
            message.setdefault("reasoning_content", _UNKNOWN_THOUGHT)
        if facts.id_length is not None:  # ids of calls, alike in call and result
            if "tool_call_id" in message:
                message["tool_call_id"] = digest_id(message["tool_call_id"], facts.id_length)
            for call in message.get("tool_calls") or ():
                call["id"] = digest_id(call["id"], facts.id_length)
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if taken is not None and part["type"] not in taken:
                why = f"has a part ({part['type']}) that is not taken {_SERVES}"
                omissions.refuse("messages", why, "messages")
                content[number] = {"type": "text", "text": _NOT_SHOWN}
        is_behind_tool = bool(fitted) and fitted[-1]["role"] == "tool"
        if message["role"] == "user" and is_behind_tool and not facts.user_after_tool:
            fitted.append({"role": "assistant", "content": _SEEN})
        fitted.append(message)
    fields["messages"] = fitted


def _value(fields: Fields, name: str, read: Callable[[bytes], Any] = msgspec.json.decode) -> Any:
    """Return a field's value, decoded or still raw. CallError 400 for what `read` does not take."""
    value = fields.get(name)
    return read_request(value, read) if isinstance(value, msgspec.Raw) else value


def short_user(user: str, longest: int) -> str:
    """A user's label as it is, or its hash where it is too long."""
    if len(user) <= longest:
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:longest]


def at_most(limit: int, facts: ModelFacts) -> int:
    """`limit`, and no more than the model can give."""
    return limit if facts.most_output is None else min(limit, facts.most_output)


def _instruct(fields: Fields, words: str) -> None:
    """Add an instruction behind those that there are."""
    messages = fields["messages"]
    head = sum(1 for _ in takewhile(lambda message: message["role"] == "system", messages))
    messages.insert(head, {"role": "system", "content": words})


def _fit_tools(fields: Fields, facts: ModelFacts, omissions: Omissions) -> None:
    if "tools" not in fields:
        return
    if not facts.tools:
        omissions.refuse("tools", f"cannot be offered in a chat: none are taken {_SERVES}", "tools")
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            fields.pop(name, None)
        return
    told: list[str] = []
    longest = facts.description_length
    for tool in fields["tools"]:
        function = tool["function"]
        description = function.get("description") or ""
        # a description that is too long for its place stands among the instructions
        if longest is not None and len(description) > longest:
            told.append(f"The tool {function['name']}: {description}")
            function["description"] = description[: longest - len(_MORE_BELOW)] + _MORE_BELOW
    if told:
        _instruct(fields, "\n\n".join(told))
    if not facts.forced_tools and fields.get("tool_choice", "auto") not in ("auto", "none"):
        why = f"cannot demand a tool: that is not taken {_SERVES}"
        omissions.refuse("tool_choice", why, "tool_choice")
        del fields["tool_choice"]
    if not facts.parallel_tools and fields.pop("parallel_tool_calls", None) is False:
        choice = fields.get("tool_choice")
        # A forced call is one call, also where it is said as a demand for any of one tool.
        if not (isinstance(choice, dict) or (choice == "required" and len(fields["tools"]) == 1)):
            omissions.leave_out("parallel_tool_calls")
    if facts.tools_effort:
        given = fields.get("reasoning_effort", facts.tools_effort)
        fields["reasoning_effort"] = facts.tools_effort
        if given != facts.tools_effort:
            omissions.leave_out("reasoning_effort")


def nearest_effort(effort: str, known: tuple[str, ...]) -> str | None:
    """The effort of `known` that is nearest to `effort`, the higher of two; None where there is none."""
    if effort in known or effort not in _EFFORTS:
        return effort if known else None
    wanted = _EFFORTS.index(effort)
    ranked = [_EFFORTS.index(one) for one in known if one in _EFFORTS and one != "none"]
    if effort == "none" or not ranked:
        return None
    return _EFFORTS[min(ranked, key=lambda rank: (abs(rank - wanted), -rank))]


def _fit_stops(fields: Fields, facts: ModelFacts, omissions: Omissions) -> None:
    given = _value(fields, "stop", _read_stops)
    if given is None:
        return
    stops = [given] if isinstance(given, str) else list(given)
    if not facts.blank_stops:
        stops = [stop for stop in stops if stop.strip()]
    if facts.stops is not None and len(stops) > facts.stops:
        why = f"has {len(stops)} sequences, and {facts.stops} are taken {_SERVES}"
        omissions.refuse("stop", why, "stop")
        stops = stops[: facts.stops]
    if not stops:
        del fields["stop"]
    elif stops != given and [given] != stops:
        fields["stop"] = stops


def _fit_sampling(fields: Fields, facts: ModelFacts, omissions: Omissions) -> None:
    if not facts.top_k and fields.pop("top_k", None) is not None:
        omissions.leave_out("top_k")
    if facts.temperature == 0:
        leave_out_sampling(fields, omissions)
        return
    if not facts.logprobs:
        _leave_out_logprobs(fields, omissions)
    if not facts.logit_bias:
        if _value(fields, "logit_bias"):
            omissions.leave_out("logit_bias")
        fields.pop("logit_bias", None)
    temperature = _value(fields, "temperature", _read_number)
    if temperature is not None and temperature > facts.temperature:
        why = f"cannot be above {facts.temperature:g}: no more is taken {_SERVES}"
        omissions.refuse("temperature", why, "temperature")
        fields["temperature"] = facts.temperature


def leave_out_sampling(fields: Fields, omissions: Omissions) -> None:
    """Leave out how words are chosen, for a model that takes no wish about that.

    CallError 400 where their probabilities are wanted, which it does not tell.
    """
    for name, usual in _SAMPLING.items():
        given = _value(fields, name)
        fields.pop(name, None)
        if given is not None and given not in usual:
            omissions.leave_out(name)
    _leave_out_logprobs(fields, omissions)


def _leave_out_logprobs(fields: Fields, omissions: Omissions) -> None:
    """CallError 400 where they are wanted, unless the call is put over leniently."""
    if _value(fields, "logprobs"):
        omissions.refuse("logprobs", f"are not told {_SERVES}", "logprobs")
    for name in ("logprobs", "top_logprobs"):
        fields.pop(name, None)


def _fit_format(fields: Fields, facts: ModelFacts, omissions: Omissions) -> None:
    wanted: Any = fields.get("response_format")
    if wanted is None or wanted["type"] in {"text", *facts.json_modes}:
        return
    match wanted["type"], facts.json_modes:
        case "json_schema", ("json_object", *_):
            schema = wanted["json_schema"]["schema"]
            _instruct(fields, _SCHEMA + bytes(schema).decode())
            fields["response_format"] = {"type": "json_object"}
        case "json_object", ("json_schema", *_):
            fields["response_format"] = {"type": "json_schema", "json_schema": _ANY_OBJECT}
        case _:
            why = f"asks for JSON, of which no form is known {_SERVES}"
            omissions.refuse("response_format", why, "response_format")
            del fields["response_format"]
