"""A request of OpenAI's responses, as far as a translation reads it.

Sources: https://platform.openai.com/docs/api-reference/responses/create, https://www.openresponses.org
"""

from __future__ import annotations

import msgspec

NULL = msgspec.Raw(b"null")


class Part(msgspec.Struct):
    """A part of a message's content; which fields count depends on its type."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    filename: str | None = None
    file_data: str | None = None
    input_audio: msgspec.Raw = NULL


class Item(msgspec.Struct):
    """An item of `input`; which fields count depends on its type."""

    type: str = "message"
    role: str = ""
    content: msgspec.Raw = NULL
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: msgspec.Raw = NULL
    input: msgspec.Raw = NULL
    namespace: str | None = None
    tools: list[Tool] | None = None


class InputFormat(msgspec.Struct):
    """Format of the text that a `custom` tool is called with."""

    type: str = "text"
    syntax: str = ""
    definition: str = ""


class Tool(msgspec.Struct):
    """A tool: a function, a `custom` one, a `namespace` of such; of any other only the type is read."""

    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = NULL
    strict: bool | None = None
    format: InputFormat | None = None
    tools: list[Tool] | None = None


class ToolChoice(msgspec.Struct):
    """`tool_choice` where it is more than a word."""

    type: str
    name: str = ""
    namespace: str | None = None
    mode: str = "auto"
    tools: list[Tool] = []


class Format(msgspec.Struct):
    """`text.format`."""

    type: str = "text"
    name: str = ""
    description: str | None = None
    schema: msgspec.Raw = NULL
    strict: bool | None = None


class Text(msgspec.Struct):
    """`text`."""

    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    """`reasoning`."""

    effort: str | None = None
    summary: str | None = None


class Request(msgspec.Struct):
    """Fields of a request that are translated, or repeated in its answer."""

    model: str
    input: str | list[Item] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tool_calls: int | None = None
    metadata: msgspec.Raw = NULL
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: msgspec.Raw = NULL


read_responses_request = msgspec.json.Decoder(Request).decode
read_content = msgspec.json.Decoder(str | list[Part] | None).decode
