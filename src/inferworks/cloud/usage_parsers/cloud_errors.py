"""Error bodies of the clouds, put into the words of the dialect that their models speak.

The clouds have forms of their own for them (`dialects.errors`), whatever dialect that is.
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.usage_parsers.in_band import refusal
from inferworks.dialects.errors import (
    AmazonError,
    AnthropicError,
    AnthropicErrorFields,
    GoogleError,
    OpenAIError,
    OpenAIErrorFields,
    anthropic_error_type,
    openai_error_type,
)

_read_amazon = msgspec.json.Decoder(AmazonError).decode
_read_google = msgspec.json.Decoder(GoogleError | list[GoogleError]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def error_words(status: int, data: bytes) -> str:
    """Return the message of an error body of OpenAI's or Anthropic's kind; else the status in words."""
    return refusal(data).words or _says_nothing(status)


def amazon_message(status: int, data: bytes) -> str:
    """Return the message of an error body of Amazon's; else the status in words."""
    try:
        body = _read_amazon(data)
    except _UNREADABLE:
        return _says_nothing(status)
    return body.message or body.Message or _says_nothing(status)


def amazon_as_anthropic(status: int, data: bytes) -> bytes:
    """Amazon's error body as Anthropic's; one that is Anthropic's, from amid a stream, stays as it is."""
    body = _google(data)
    if body is not None and body.type == "error":
        return data
    return anthropic_error(status, amazon_message(status, data))


def google_as_anthropic(status: int, data: bytes) -> bytes:
    """Google's error body as Anthropic's; one that is Anthropic's passes as it came."""
    body = _google(data)
    if body is not None and body.type == "error":
        return data
    message = body.error.message if body else ""
    return anthropic_error(status, message or _says_nothing(status))


def google_as_openai(status: int, data: bytes) -> bytes:
    """Google's error body as OpenAI's."""
    body = _google(data)
    message = body.error.message if body else ""
    return openai_error(status, message or _says_nothing(status))


def anthropic_error(status: int, message: str) -> bytes:
    """An error body of Anthropic's."""
    fields = AnthropicErrorFields(anthropic_error_type(status), message)
    return msgspec.json.encode(AnthropicError("error", fields))


def openai_error(status: int, message: str, code: str | None = None) -> bytes:
    """An error body of OpenAI's."""
    return msgspec.json.encode(
        OpenAIError(OpenAIErrorFields(message, openai_error_type(status), None, code))
    )


def _google(data: bytes) -> GoogleError | None:
    try:
        read: GoogleError | list[GoogleError] = _read_google(data)
    except _UNREADABLE:
        return None
    if isinstance(read, list):
        return read[0] if read else None
    return read


def _says_nothing(status: int) -> str:
    return f"The model's server refused the request with status {status}."
