"""Error bodies of the clouds, which have forms of their own whatever dialect their models speak.

    {"message": "..."}                                        Amazon; `Message` where a signature is wrong
    {"error": {"code": 429, "message": "...", "status": ...}} Google; in a list at its OpenAI endpoint

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html,
https://docs.cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.usage_parsers.in_band import refusal
from inferworks.dialects.finish_reasons import error_type, openai_error_type


class _Amazon(msgspec.Struct):
    message: str = ""
    Message: str = ""


class _Error(msgspec.Struct):
    message: str = ""


class _Google(msgspec.Struct):
    error: _Error
    type: str = ""
    """`error` where it is Anthropic's own body, handed on."""


_read_amazon = msgspec.json.Decoder(_Amazon).decode
_read_google = msgspec.json.Decoder(_Google | list[_Google]).decode
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
    error = {"type": error_type(status), "message": message}
    return msgspec.json.encode({"type": "error", "error": error})


def openai_error(status: int, message: str) -> bytes:
    """An error body of OpenAI's."""
    error = {"message": message, "type": openai_error_type(status), "param": None, "code": None}
    return msgspec.json.encode({"error": error})


def _google(data: bytes) -> _Google | None:
    try:
        read: _Google | list[_Google] = _read_google(data)
    except _UNREADABLE:
        return None
    if isinstance(read, list):
        return read[0] if read else None
    return read


def _says_nothing(status: int) -> str:
    return f"The model's server refused the request with status {status}."
