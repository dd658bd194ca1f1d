"""Refusals that tell what one model does not have, and not what is wrong with the request.

Most of what an upstream refuses any other would refuse too. But a field that one family of models lacks, a
value that it does not take, or an operation that it is not made for, another offer of the model may well
have: its words tell. OpenAI's dialect has codes for it, and a 404 about a parameter of the request (a chat
model asked for by the older operation). A 404 that names no parameter, or a model that is not there, is
about our configuration. Anthropic's dialect has no such codes; there, what is refused is refused.

Sources: https://platform.openai.com/docs/guides/error-codes, sashabaranov/go-openai#126, n8n-io/n8n#18352
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.cloud.bodies.lenient import leniently
from inferworks.dialects.errors import OpenAIRefusal
from inferworks.errors import CallError

_CODES: Final = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_OF_OUR_MODEL: Final = frozenset({"model_not_found", "deploymentnotfound", "deployment_not_found"})
_LONGEST_BYTES: Final = 64 * 1024


def lacking(status: int, data: bytes) -> CallError | None:
    """The refusal in an error body, if it tells of what the asked model alone does not have."""
    if status not in (400, 404, 422) or len(data) > _LONGEST_BYTES:
        return None
    try:
        error = leniently(data, OpenAIRefusal).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    code = error.code.lower()
    if status == 404:
        lacks = error.type == "invalid_request_error" and error.param and code not in _OF_OUR_MODEL
    else:
        lacks = code in _CODES
    if not lacks or not error.message:
        return None
    return CallError(status, error.message, code=error.code or None, param=error.param or None)
