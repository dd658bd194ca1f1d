"""Anthropic's models on Bedrock in their own words: messages by InvokeModel, with the model in the path.

    /model/MODEL/invoke                        a whole message
    /model/MODEL/invoke-with-response-stream   a stream
    /model/MODEL/count-tokens                  the request, in base64

By Converse the same models are reached in the words of every model. This way what only Anthropic knows
arrives as it was written: marks for the cache, thoughts, tools of its own. Of the body, `model` and
`stream` are in the path, and the version and the betas, headers with Anthropic, are fields. The oldest
version has a name of Bedrock's own.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html,
https://platform.claude.com/docs/en/api/versioning
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import Framing, OperationSpec
from inferworks.cloud.providers.unsigned import without_unsigned
from inferworks.cloud.usage_parsers.anthropic import MessagesReader
from inferworks.cloud.usage_parsers.cloud_errors import amazon_as_anthropic
from inferworks.cloud.usage_parsers.invoke import CountedReader, InvokeEvents
from inferworks.http.eventstream import CONTENT_TYPE

_CHUNKS: Final = Framing(CONTENT_TYPE, InvokeEvents)
_OLDEST: Final = "2023-06-01"
_OLDEST_HERE: Final = "bedrock-2023-05-31"
"""Bedrock's name of Anthropic's version of that name; newer ones have the same name."""


def bedrock_messages() -> Mapping[Operation, OperationSpec]:
    """Return the specification of each of Anthropic's operations at Bedrock."""
    refusal = amazon_as_anthropic
    return {
        Operation.MESSAGES: OperationSpec(
            "/model/", MessagesReader, _write, place=_place, framing=_CHUNKS, refusal=refusal
        ),
        Operation.COUNT_TOKENS: OperationSpec(
            "/model/", CountedReader, _write_count, place=_place_count, refusal=refusal
        ),
    }


def _place(call: Call, offer: Offer) -> str:
    how = "invoke-with-response-stream" if call.stream else "invoke"
    return f"{_model(call, offer)}/{how}"


def _place_count(call: Call, offer: Offer) -> str:
    return f"{_model(call, offer)}/count-tokens"


def _model(call: Call, offer: Offer) -> str:
    """The model as one segment of a path, its colons and slashes quoted."""
    return quote(offer.upstream_model or call.model, safe="")


def _write(call: Call, _offer: Offer) -> bytes:
    return msgspec.json.encode(_fields(call))


def _write_count(call: Call, _offer: Offer) -> bytes:
    """The request as it would be sent, which must have a limit although nothing is answered."""
    fields = _fields(call)
    fields.setdefault("max_tokens", msgspec.Raw(b"1"))
    body = b64encode(msgspec.json.encode(fields)).decode()
    return msgspec.json.encode({"input": {"invokeModel": {"body": body}}})


def _fields(call: Call) -> dict[str, msgspec.Raw]:
    """The fields of a request, each as it came, with what its caller's headers say."""
    headers = {name: value.decode("latin-1") for name, value in call.headers}
    version = headers.get(b"anthropic-version", "") or _OLDEST
    betas = [beta.strip() for beta in headers.get(b"anthropic-beta", "").split(",") if beta.strip()]
    fields = read_fields(without_unsigned(call.body))
    fields.pop("model", None)
    fields.pop("stream", None)
    fields.setdefault("anthropic_version", _raw(_OLDEST_HERE if version == _OLDEST else version))
    if betas:
        fields.setdefault("anthropic_beta", _raw(betas))
    return fields


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
