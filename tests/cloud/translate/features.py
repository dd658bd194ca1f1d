"""Outcome of each feature between each pair of dialects: the rows of the table in docs/dialects.md.

A row asks for one thing in the words of each dialect that has words for it. A cell is one of `HOW`; what
an upstream must then be asked is a check for each target. `test_features.py` makes a test of every cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from inferworks.cloud.operation import Operation
from inferworks.testing.upstreams.blocks import SIGNATURE

CHAT, MESSAGES, CONVERSE = Operation.CHAT, Operation.MESSAGES, Operation.CONVERSE
RESPONSES, COMPLETIONS = Operation.RESPONSES, Operation.COMPLETIONS
OPENAI: Final = (CHAT, RESPONSES, COMPLETIONS)
EVERY: Final = (*OPENAI, MESSAGES)
PAIRS: Final = (
    (CHAT, MESSAGES), (CHAT, CONVERSE), (MESSAGES, CHAT), (MESSAGES, CONVERSE), (RESPONSES, CHAT),
    (RESPONSES, MESSAGES), (RESPONSES, CONVERSE), (COMPLETIONS, CHAT), (COMPLETIONS, MESSAGES),
    (COMPLETIONS, CONVERSE),
)  # fmt: skip
MEANS: Final = "by other means"
HOW: Final = {
    "says": "in the other's words for it",
    MEANS: "what it has no words for itself",
    "left out": "and named",
    "dropped": "no answer depends on it",
    "refused": "before anything is sent",
    "": "the caller's dialect has no words for it",
}
Check = Callable[[Any], bool]


class Feature(NamedTuple):
    """A row."""

    name: str
    asks: Mapping[Operation, dict[str, Any]]
    """Fields that a caller of each dialect writes."""
    cells: Mapping[Operation, str]
    """Outcome at each target; where sources differ, `own` says so."""
    shown: Mapping[Operation, Check] = {}
    """Check that the upstream is asked for the feature."""
    own: Mapping[tuple[Operation, Operation], str] = {}
    provider: str = "openai"
    """Provider that serves the chats of this row."""

    def cell(self, source: Operation, target: Operation) -> str:
        """Outcome of the feature between two dialects."""
        if source not in self.asks:
            return ""
        return self.own.get((source, target), self.cells[target])


def holds(*needles: str) -> Check:
    """Check that a request has all of `needles` in it, as JSON without spaces."""
    return lambda body: all(
        needle in json.dumps(body, separators=(",", ":"), ensure_ascii=False) for needle in needles
    )


def _tool_chat(**more: Any) -> dict[str, Any]:
    return {"tools": [FUNCTION], **more}


HELLO = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
          "additionalProperties": False}  # fmt: skip
OPEN = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
FLAT = {"type": "function", "name": "look", "parameters": SCHEMA}
TOOL = {"name": "look", "input_schema": SCHEMA}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG_URL, PDF_URL = f"data:image/png;base64,{PNG}", "data:application/pdf;base64,JVBERi0="
WEB = "https://example.com/a.png"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
PDF = {"type": "document",
       "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}  # fmt: skip
PDF_PART = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}
PDF_ITEM = {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL}


def image_part(url: str) -> dict[str, Any]:
    """A picture in a chat."""
    return {"type": "image_url", "image_url": {"url": url}}


def image_item(url: str) -> dict[str, Any]:
    """A picture in a response's input."""
    return {"type": "input_image", "image_url": url}


def shown_by_user(chat: object, message: object, item: object) -> dict[Operation, dict[str, Any]]:
    """Requests in which a user shows a part beside a word, in each dialect."""
    text = {"type": "text", "text": "See"}
    return {
        CHAT: {"messages": [{"role": "user", "content": [text, chat]}]},
        MESSAGES: {"messages": [{"role": "user", "content": [text, message]}]},
        RESPONSES: {
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "See"}, item]}]
        },
    }


def called(
    *ids: str, results: Mapping[Operation, Any] | None = None
) -> dict[Operation, dict[str, Any]]:
    """A turn that called a function once for each id, and what came of it, in each dialect."""
    given = results or {CHAT: "rain", MESSAGES: "rain", RESPONSES: "rain"}
    calls = [
        {"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for name in ids
    ]
    uses = [{"type": "tool_use", "id": name, "name": "look", "input": {}} for name in ids]
    outcomes = [
        {"type": "tool_result", "tool_use_id": name, "content": given[MESSAGES]} for name in ids
    ]
    items = [
        {"type": "function_call", "call_id": name, "name": "look", "arguments": "{}"}
        for name in ids
    ]
    outputs = [
        {"type": "function_call_output", "call_id": name, "output": given[RESPONSES]}
        for name in ids
    ]
    answers = [{"role": "tool", "tool_call_id": name, "content": given[CHAT]} for name in ids]
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    return {
        CHAT: {"messages": [HELLO, turn, *answers], "tools": [FUNCTION]},
        MESSAGES: {
            "messages": [
                HELLO,
                {"role": "assistant", "content": uses},
                {"role": "user", "content": outcomes},
            ],
            "tools": [TOOL],
        },
        RESPONSES: {"input": [HELLO, *items, *outputs], "tools": [FLAT]},
    }  # fmt: skip


def chosen(chat: object, message: object, response: object) -> dict[Operation, dict[str, Any]]:
    """A choice among functions, in each dialect."""
    return {
        CHAT: {"tools": [FUNCTION], "tool_choice": chat},
        MESSAGES: {"tools": [TOOL], "tool_choice": message},
        RESPONSES: {"tools": [FLAT], "tool_choice": response},
    }


def format_of(schema: object) -> dict[Operation, dict[str, Any]]:
    """An answer of a form, in each dialect."""
    named = {"name": "answer", "schema": schema}
    return {
        CHAT: {"response_format": {"type": "json_schema", "json_schema": named}},
        MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        RESPONSES: {"text": {"format": {"type": "json_schema", **named}}},
    }


def ids_fit(body: object) -> bool:
    """Return whether a call and its result have one id, which every vendor takes."""
    text = json.dumps(body)
    return (
        "read:0" not in text
        and len({one for one in text.split('"') if one.startswith("read_0_")}) == 1
    )


SAYS = {CHAT: "says", MESSAGES: "says", CONVERSE: "says"}
LEFT_OUT = {CHAT: "left out", MESSAGES: "left out", CONVERSE: "left out"}
REFUSED = {CHAT: "refused", MESSAGES: "refused", CONVERSE: "refused"}
BY_TOOL = holds('"answer_in_json"', '"any"')
LOOP = called("a")
THOUGHT = {
    "type": "reasoning",
    "content": [{"type": "reasoning_text", "text": "Hm."}],
    "summary": [],
}

FEATURES: tuple[Feature, ...] = (
    Feature("tools and their results", called("a"), SAYS, {
        CHAT: holds('"tool_call_id":"a"', '"name":"look"'),
        MESSAGES: holds('"tool_use_id":"a"', '"name":"look"'),
        CONVERSE: holds('"toolUseId":"a"', '"toolSpec"')}),
    Feature("several calls in one turn", called("a", "b"), SAYS, {
        CHAT: holds('"tool_call_id":"a"', '"tool_call_id":"b"'),
        MESSAGES: holds('"tool_use_id":"a"', '"tool_use_id":"b"'),
        CONVERSE: holds('"toolResult":{"toolUseId":"a"', '"toolResult":{"toolUseId":"b"')}),
    Feature("one call at a time", {
        CHAT: {"tools": [FUNCTION], "parallel_tool_calls": False},
        MESSAGES: {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        RESPONSES: {"tools": [FLAT], "parallel_tool_calls": False}},
        {**SAYS, CONVERSE: MEANS}, {
        CHAT: holds('"parallel_tool_calls":false'), MESSAGES: holds('"disable_parallel_tool_use":true'),
        CONVERSE: holds('"additionalModelRequestFields":{"tool_choice":{"type":"auto","disable_parallel')}),
    Feature("a call of any tool", chosen("required", {"type": "any"}, "required"), SAYS, {
        CHAT: holds('"tool_choice":"required"'), MESSAGES: holds('"tool_choice":{"type":"any"}'),
        CONVERSE: holds('"toolChoice":{"any":{}}')}),
    Feature("a call of one tool", chosen(
        {"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"},
        {"type": "function", "name": "look"}), SAYS, {
        CHAT: holds('"tool_choice":{"type":"function"'), MESSAGES: holds('{"type":"tool","name":"look"}'),
        CONVERSE: holds('{"tool":{"name":"look"}}')}),
    Feature("no call of the tools", chosen("none", {"type": "none"}, "none"),
        {**SAYS, CONVERSE: MEANS}, {
        CHAT: holds('"tool_choice":"none"'), MESSAGES: holds('"tool_choice":{"type":"none"}'),
        CONVERSE: lambda body: "toolConfig" not in body}),
    Feature("a tool that its vendor runs", {
        CHAT: {"web_search_options": {}},
        MESSAGES: {"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}]},
        RESPONSES: {"tools": [FLAT, {"type": "web_search"}]}}, LEFT_OUT),
    Feature("a call of such a tool", {
        MESSAGES: {"tools": [{"type": "web_search_20250305", "name": "web_search"}],
                   "tool_choice": {"type": "any"}},
        RESPONSES: {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}}, REFUSED),
    Feature("a tool that takes a text", {
        CHAT: {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "patch"}}]},
        RESPONSES: {"tools": [{"type": "custom", "name": "patch"}]}},
        {CHAT: MEANS, MESSAGES: MEANS, CONVERSE: MEANS},
        {CHAT: holds('"name":"patch"', '"input":{"type":"string"'),
         MESSAGES: holds('"name":"patch"', '"input":{"type":"string"'),
         CONVERSE: holds('"name":"patch"', '"input":{"type":"string"')},
        {(CHAT, MESSAGES): "left out", (CHAT, CONVERSE): "left out"}),
    Feature("tools in a namespace", {RESPONSES: {"tools": [
        {"type": "namespace", "name": "team", "description": "d", "tools": [FLAT]}]}},
        {CHAT: MEANS, MESSAGES: MEANS, CONVERSE: MEANS},
        {target: holds('"name":"team__look"') for target in (CHAT, MESSAGES, CONVERSE)}),
    Feature("ids of other vendors", called("read:0"),
        {CHAT: "says", MESSAGES: MEANS, CONVERSE: MEANS},
        {CHAT: holds('"tool_call_id":"read:0"'), MESSAGES: ids_fit, CONVERSE: ids_fit}),
    Feature("how hard to think", {
        CHAT: {"reasoning_effort": "low"}, MESSAGES: {"output_config": {"effort": "low"}},
        RESPONSES: {"reasoning": {"effort": "low"}}}, SAYS, {
        CHAT: holds('"reasoning_effort":"low"'), MESSAGES: holds('"effort":"low"', '"adaptive"'),
        CONVERSE: holds('"outputConfig":{"effort":"low"}')}, provider="vllm"),
    Feature("thoughts of a turn that called", {
        CHAT: {**LOOP[CHAT], "messages": [HELLO, {**LOOP[CHAT]["messages"][1], "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}]}, LOOP[CHAT]["messages"][2]]},
        MESSAGES: {**LOOP[MESSAGES], "messages": [HELLO, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            *LOOP[MESSAGES]["messages"][1]["content"]]}, LOOP[MESSAGES]["messages"][2]]},
        RESPONSES: {**LOOP[RESPONSES], "input": [HELLO, THOUGHT, *LOOP[RESPONSES]["input"][1:]]}},
        {CHAT: "says", MESSAGES: "says", CONVERSE: "says"}, {
        CHAT: holds('"reasoning_content":"Hm."'),
        MESSAGES: holds('"thinking":"Hm."', f'"signature":"{SIGNATURE}"'),
        CONVERSE: holds(f'"reasoningText":{{"text":"Hm.","signature":"{SIGNATURE}"}}')},
        dict.fromkeys(
            [(MESSAGES, CONVERSE), (RESPONSES, MESSAGES), (RESPONSES, CONVERSE)], "dropped"),
        provider="deepseek"),
    Feature("pictures", shown_by_user(image_part(PNG_URL), IMAGE, image_item(PNG_URL)), SAYS, {
        CHAT: holds(f'"image_url":{{"url":"{PNG_URL}"'), MESSAGES: holds('"media_type":"image/png"'),
        CONVERSE: holds('"image":{"format":"png"')}),
    Feature("pictures by address", shown_by_user(
        image_part(WEB), {"type": "image", "source": {"type": "url", "url": WEB}}, image_item(WEB)),
        {**SAYS, CONVERSE: "refused"},
        {CHAT: holds(f'"url":"{WEB}"'), MESSAGES: holds(f'{{"type":"url","url":"{WEB}"}}')}),
    Feature("pictures that a tool gave", called("a", results={
        CHAT: [image_part(PNG_URL)], MESSAGES: [IMAGE], RESPONSES: [image_item(PNG_URL)]}),
        {CHAT: MEANS, MESSAGES: "says", CONVERSE: "says"}, {
        CHAT: lambda body: holds(PNG)(body["messages"][-1]) and body["messages"][-1]["role"] == "user",
        MESSAGES: holds('"tool_result"', PNG), CONVERSE: holds('"toolResult"', PNG)},
        {(RESPONSES, MESSAGES): MEANS, (RESPONSES, CONVERSE): MEANS, (MESSAGES, CONVERSE): MEANS}),
    Feature("PDFs", shown_by_user(PDF_PART, PDF, PDF_ITEM), SAYS, {
        CHAT: holds('"file_data":"data:application/pdf'), MESSAGES: holds('"media_type":"application/pdf"'),
        CONVERSE: holds('"document":{"format":"pdf"')}),
    Feature("PDFs that a tool gave", called("a", results={
        CHAT: [PDF_PART], MESSAGES: [PDF], RESPONSES: [PDF_ITEM]}),
        {CHAT: MEANS, MESSAGES: "says", CONVERSE: "says"}, {
        CHAT: lambda body: holds('"file"')(body["messages"][-1]) and body["messages"][-1]["role"] == "user",
        MESSAGES: holds('"tool_result"', "application/pdf"), CONVERSE: holds('"toolResult"', '"pdf"')},
        {(RESPONSES, MESSAGES): MEANS, (RESPONSES, CONVERSE): MEANS, (MESSAGES, CONVERSE): MEANS}),
    Feature("stored files", shown_by_user(
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "input_file", "file_id": "file-1"}), REFUSED),
    Feature("sound", {CHAT: {"messages": [{"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]},
        RESPONSES: {"input": [{"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]}},
        {CHAT: "says", MESSAGES: "refused", CONVERSE: "refused"}, {CHAT: holds('"format":"wav"')}),
    Feature("any JSON object", {
        CHAT: {"response_format": {"type": "json_object"}},
        RESPONSES: {"text": {"format": {"type": "json_object"}}, "input": "As JSON, please."}},
        {CHAT: "says", MESSAGES: MEANS, CONVERSE: MEANS}, {
        CHAT: holds('"json_object"'), MESSAGES: holds('"type":"tool","name":"answer_in_json"'),
        CONVERSE: BY_TOOL}),
    Feature("JSON of a closed schema", format_of(SCHEMA), SAYS, {
        CHAT: holds('"response_format":{"type":"json_schema"'),
        MESSAGES: holds('"format":{"type":"json_schema"'),
        CONVERSE: holds('"textFormat"')}),
    Feature("JSON of any other schema", format_of(OPEN),
        {CHAT: "says", MESSAGES: MEANS, CONVERSE: MEANS}, {
        CHAT: holds('"minimum":1'), MESSAGES: holds('"answer_in_json"', '"minimum":1'),
        CONVERSE: holds('"answer_in_json"', '"minimum":1')}),
    Feature("stop sequences", {
        CHAT: {"stop": ["END", "\n"]}, MESSAGES: {"stop_sequences": ["END"]}, COMPLETIONS: {"stop": "END"}},
        SAYS, {CHAT: holds('"END"'), MESSAGES: holds('"stop_sequences":["END"]'),
               CONVERSE: holds('"stopSequences":["END"]')}),
    Feature("no limit", {CHAT: {}, RESPONSES: {}}, {CHAT: "says", MESSAGES: MEANS, CONVERSE: "says"}, {
        CHAT: lambda body: not {"max_tokens", "max_completion_tokens"} & body.keys(),
        MESSAGES: holds('"max_tokens":16384'), CONVERSE: lambda body: "inferenceConfig" not in body}),
    Feature("temperature", {source: {"temperature": 0.5} for source in EVERY},
        SAYS, {target: holds('"temperature":0.5') for target in (CHAT, MESSAGES, CONVERSE)}),
    Feature("temperature above 1", {source: {"temperature": 1.5} for source in OPENAI},
        {CHAT: "says", MESSAGES: "refused", CONVERSE: "refused"}, {CHAT: holds('"temperature":1.5')}),
    Feature("seed", {CHAT: {"seed": 7}, COMPLETIONS: {"seed": 7}},
        {CHAT: "says", MESSAGES: "left out", CONVERSE: "left out"}, {CHAT: holds('"seed":7')}),
    Feature("log probabilities", {
        CHAT: {"logprobs": True}, RESPONSES: {"include": ["message.output_text.logprobs"]}},
        {CHAT: "says", MESSAGES: "refused", CONVERSE: "refused"}, {CHAT: holds('"logprobs":true')}),
    Feature("several answers", {CHAT: {"n": 2}, COMPLETIONS: {"n": 2}},
        {CHAT: "says", MESSAGES: "refused", CONVERSE: "refused"}, {CHAT: holds('"n":2')}),
    Feature("penalties", {source: {"presence_penalty": 0.5} for source in OPENAI},
        {CHAT: "says", MESSAGES: "refused", CONVERSE: "refused"}, {CHAT: holds('"presence_penalty":0.5')}),
    Feature("verbosity", {CHAT: {"verbosity": "low"}, RESPONSES: {"text": {"verbosity": "low"}}}, LEFT_OUT),
    Feature("instructions amid the chat", {
        CHAT: {"messages": [HELLO, {"role": "assistant", "content": "Yes?"},
                            {"role": "system", "content": "Be brief."}, HELLO]},
        MESSAGES: {"messages": [HELLO, {"role": "assistant", "content": "Yes?"},
                                {"role": "system", "content": "Be brief."}, HELLO]},
        RESPONSES: {"input": [HELLO, {"role": "assistant", "content": "Yes?"},
                              {"role": "developer", "content": "Be brief."}, HELLO]}},
        {**SAYS, MESSAGES: MEANS, CONVERSE: MEANS}, {
        CHAT: holds('"role":"system"', "Be brief."), MESSAGES: holds("<system>Be brief.</system>"),
        CONVERSE: holds("<system>Be brief.</system>")}),
    Feature("a state that is kept", {
        MESSAGES: {"thread": {"type": "continue", "id": "t"}},
        RESPONSES: {"previous_response_id": "resp_1"}}, REFUSED),
    Feature("fields that nobody knows",
        {source: {"client_metadata": {"id": "x"}} for source in EVERY},
        LEFT_OUT),
)  # fmt: skip


def table() -> str:
    """The table of docs/dialects.md."""
    names = {CHAT: "chat", MESSAGES: "messages", CONVERSE: "Converse", RESPONSES: "responses",
             COMPLETIONS: "completions"}  # fmt: skip
    heads = [f"{names[source]} → {names[target]}" for source, target in PAIRS]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(PAIRS) + 1) + "|"]
    for feature in FEATURES:
        cells = [feature.cell(source, target) for source, target in PAIRS]
        lines.append(f"| {feature.name} | {' | '.join(cells)} |")
    lines.append(f"| that an answer was cut off | {' | '.join('says' for _ in PAIRS)} |")
    return "\n".join(lines) + "\n"
