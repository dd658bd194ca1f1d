"""OpenAI's responses and the counting of their tokens: requests and answers, by each of their readers.

The gateway checks a request (`ResponsesRequest`); input items and tools pass it unseen, for there are
dozens of kinds, and more every month. A translation reads all that a chat has words for, or an answer
repeats (`FullResponsesRequest`). The usage parsers read the usage, the end and the letters of every event
(`MeteredEvent`).

Sources: https://platform.openai.com/docs/api-reference/responses/create, /responses/object,
/responses-streaming, https://www.openresponses.org
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inferworks.dialects.openai_usage import InputUsage
from inferworks.dialects.token_conventions import Count

NULL = msgspec.Raw(b"null")
Objects = list[dict[str, msgspec.Raw]]


class ResponsesRequest(msgspec.Struct, gc=False):
    """The parameters of `responses` that we check, with OpenAI's bounds."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | Objects | None = None
    """A text or items; a stored prompt may do without."""
    instructions: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0)] | None = None
    tools: Objects | None = None
    parallel_tool_calls: bool | None = None
    user: Annotated[str, Meta(max_length=4096)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=4096)] | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=4096)] | None = None


class InputTokensRequest(msgspec.Struct, gc=False):
    """The parameters of `responses.input_tokens` that we check."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | Objects | None = None


# --- a request that is translated


class ContentPart(msgspec.Struct):
    """A part of a message's content; which fields count depends on its type."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    filename: str | None = None
    file_data: str | None = None
    input_audio: msgspec.Raw = NULL


class InputItem(msgspec.Struct):
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


class ToolInputFormat(msgspec.Struct):
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
    format: ToolInputFormat | None = None
    tools: list[Tool] | None = None


class ToolChoice(msgspec.Struct):
    """`tool_choice` where it is more than a word."""

    type: str
    name: str = ""
    namespace: str | None = None
    mode: str = "auto"
    tools: list[Tool] = []


class TextFormat(msgspec.Struct):
    """`text.format`."""

    type: str = "text"
    name: str = ""
    description: str | None = None
    schema: msgspec.Raw = NULL
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    """`text`."""

    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    """`reasoning`."""

    effort: str | None = None
    summary: str | None = None


class FullResponsesRequest(msgspec.Struct):
    """Fields of a request that are translated, or repeated in its answer."""

    model: str
    input: str | list[InputItem] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
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


read_full_responses = msgspec.json.Decoder(FullResponsesRequest).decode
read_content = msgspec.json.Decoder(str | list[ContentPart] | None).decode


# --- an answer that is metered


class WebSearches(msgspec.Struct):
    """`web_search`."""

    num_requests: Count | None = None


class ToolUsage(msgspec.Struct):
    """`tool_usage`: uses of the tools that OpenAI runs."""

    web_search: WebSearches | None = None


class OutputItem(msgspec.Struct):
    """An item of the output, by which uses of tools are counted."""

    type: str = ""
    status: str | None = None
    action: Any = None
    """An object, or with some types a word."""

    @property
    def is_search(self) -> bool:
        """True for a search of the web; a page that is opened is none."""
        other = isinstance(self.action, dict) and self.action.get("type", "search") != "search"
        return self.type == "web_search_call" and not other

    @property
    def is_image(self) -> bool:
        """True for an image that was made."""
        return self.type == "image_generation_call" and self.status != "failed"


class MeteredResponse(msgspec.Struct):
    """Fields of a response that are read; the others are passed over."""

    object: str = ""
    usage: InputUsage | None = None
    service_tier: str | None = None
    output: list[OutputItem] | None = None
    tool_usage: ToolUsage | None = None
    error: msgspec.Raw = msgspec.Raw()


class MeteredEvent(msgspec.Struct):
    """Fields of an event that are read."""

    type: str = ""
    delta: Any = None
    """Text in every event that is known today."""
    response: MeteredResponse | None = None
    error: msgspec.Raw = msgspec.Raw()
