"""Texts and ids around tool calls where one dialect lacks a feature of another.

A chat's `tool` message holds text alone (https://platform.openai.com/docs/api-reference/chat/create; see
BerriAI/litellm#20403), so a picture that a tool gave stands in a message of the user behind it. Anthropic
and Bedrock take ids of letters, digits, `_` and `-`, Bedrock of 64 characters at most, OpenAI of 40; other
vendors write `functions.read:0` (maximhq/bifrost#5097). An id that does not fit is put into one that does:
the same one wherever it stands, and another one for another id.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

BEGINNING: Final = "(The conversation begins.)"
"""User's text before an assistant that speaks first, which Anthropic and Bedrock do not take."""
SHOWN_BELOW: Final = "The result is in the next message of the user."
"""Text of a result that is an image or a file and nothing else."""
OPENAI_ID_CHARACTERS: Final = 40
"""Longest id of a call at OpenAI, in characters (microsoft/autogen#6377)."""
_CLOUD_ID_CHARACTERS: Final = 64
_FIT: Final = re.compile(r"[a-zA-Z0-9_-]+")
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_DIGEST_CHARACTERS: Final = 16


def shown_by(call_id: str) -> str:
    """The line that stands before what the call `call_id` has shown."""
    return f"Shown by the tool call {call_id}:"


def fit_id(call_id: str, longest: int = _CLOUD_ID_CHARACTERS) -> str:
    """`call_id` in letters, digits, `_` and `-`, of `longest` characters at most."""
    if len(call_id) <= longest and _FIT.fullmatch(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()
    stem = _UNFIT.sub("_", call_id[:longest])[: longest - _DIGEST_CHARACTERS - 1]
    return f"{stem}_{digest[:_DIGEST_CHARACTERS]}"


def digest_id(call_id: str, length: int) -> str:
    """`call_id` in `length` letters and digits, for a vendor that takes no others."""
    if len(call_id) == length and call_id.isascii() and call_id.isalnum():
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def short_id(call_id: str, longest: int) -> str:
    """`call_id`, made fit only where it is longer than `longest`."""
    return call_id if len(call_id) <= longest else fit_id(call_id, longest)


class CallIds:
    """The ids of a chat's calls as Anthropic and Bedrock take them: fit, and each given once.

    Some vendors count their calls anew in each turn; a result belongs to the newest call of its id.
    """

    def __init__(self) -> None:
        self._fitted: dict[str, str] = {}
        self._given: set[str] = set()

    def called(self, call_id: str) -> str:
        """The id of a call."""
        fitted = fit_id(call_id)
        if fitted in self._given:
            fitted = fit_id(f"{call_id}:{len(self._given)}")
        self._given.add(fitted)
        self._fitted[call_id] = fitted
        return fitted

    def answered(self, call_id: str) -> str:
        """The id in a result."""
        return self._fitted.get(call_id) or fit_id(call_id)
