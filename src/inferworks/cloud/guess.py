"""What a call is guessed to have used where nobody tells: a silent upstream, or one that was left early.

A guess is recorded as what it is (`Confidence.ESTIMATED`). It counts text and nothing else: an image or a
sound weighs what the provider says it weighs, and a guess from its bytes would charge a photograph as a
novel.
"""

from __future__ import annotations

import re

from inferworks.cloud.call import Call, Chunk, Told
from inferworks.meter.usage import Confidence, Tokens

_BYTES_PER_TOKEN = 4
"""What a token of English text weighs, by rule of thumb."""
_MEDIA = (b"base64", b"b64", b"input_audio")
"""What stands beside media in JSON; looked for first, since the search for the media itself is slow."""
_NO_TEXT = re.compile(rb"[A-Za-z0-9+/_=-]{512,}")
"""Base64: no text is written so long without a space."""


def prompt_tokens(call: Call) -> int:
    """A guess at the tokens of the prompt of `call`; 0 when it is no text."""
    return _tokens(call.body) if b"json" in call.content_type.lower() else 0


def whole_usage(call: Call, answer: Chunk, content_type: bytes) -> tuple[Told, Confidence]:
    """What a whole answer to `call` has used and how surely: what it told, or else a guess."""
    told = answer.told
    if told is not None:
        return told, told.confidence(whole=True)
    output = _tokens(answer.data) if b"json" in content_type.lower() else 0
    return Told(Tokens(prompt_tokens(call), output)), Confidence.ESTIMATED


def _tokens(data: bytes) -> int:
    if any(sign in data for sign in _MEDIA):
        data = _NO_TEXT.sub(b"", data)
    return len(data) // _BYTES_PER_TOKEN
