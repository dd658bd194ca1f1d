"""What a call is guessed to have used where nobody tells: a silent upstream, or one that was left early.

A guess is recorded as what it is (`Confidence.ESTIMATED`). It counts text and nothing else: an image or a
sound in the prompt weighs what the provider says it weighs, and a guess from its bytes would charge a
photograph as a novel.
"""

from __future__ import annotations

import re

from inferworks.cloud.call import Call

BYTES_PER_TOKEN = 4
"""What a token of English text weighs, by rule of thumb."""
_NO_TEXT = re.compile(rb"[A-Za-z0-9+/_=-]{512,}")
"""Base64: no text is written so long without a space."""


def prompt_tokens(call: Call) -> int:
    """A guess at the tokens of the prompt of `call`; 0 when it is no text."""
    if b"json" not in call.content_type.lower():
        return 0
    return len(_NO_TEXT.sub(b"", call.body)) // BYTES_PER_TOKEN
