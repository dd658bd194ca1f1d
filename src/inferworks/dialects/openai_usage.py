"""OpenAI's `usage` objects, in the two forms that its APIs share; None is a count that is not reported.

Vendors who speak the dialect report the cache in places of their own: Moonshot and Anthropic as
`cached_tokens`, DeepSeek as `prompt_cache_hit_tokens`, Databricks as `cache_read_input_tokens`.

Sources: https://platform.openai.com/docs/api-reference/chat/object, /responses/object, /images/object
"""

from __future__ import annotations

import msgspec

from inferworks.dialects.token_conventions import Count


class InputTokenDetails(msgspec.Struct):
    """Parts of the input: `prompt_tokens_details`, `input_tokens_details`, `input_token_details`."""

    cached_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class OutputTokenDetails(msgspec.Struct):
    """Parts of the output: `completion_tokens_details`, `output_tokens_details`."""

    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class PromptUsage(msgspec.Struct):
    """Usage of chat completions, completions, embeddings and most rankings."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: InputTokenDetails | None = None
    completion_tokens_details: OutputTokenDetails | None = None
    cached_tokens: Count | None = None
    prompt_cache_hit_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class Invocations(msgspec.Struct):
    """Number of uses of a tool."""

    invocation: Count | None = None


class ToolCallDetails(msgspec.Struct):
    """Perplexity's `tool_calls_details`."""

    search_web: Invocations | None = None


class InputUsage(msgspec.Struct):
    """Usage of responses and of images."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: InputTokenDetails | None = None
    output_tokens_details: OutputTokenDetails | None = None
    tool_calls_details: ToolCallDetails | None = None
