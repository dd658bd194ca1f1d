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

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.anthropic import versioned_fields
from inferworks.cloud.providers.passthrough import Framing, OperationSpec, model_path
from inferworks.cloud.usage_parsers.anthropic import MessagesReader
from inferworks.cloud.usage_parsers.cloud_errors import amazon_as_anthropic
from inferworks.cloud.usage_parsers.invoke import CountedReader, InvokeEvents
from inferworks.http.eventstream import CONTENT_TYPE

_CHUNKS: Final = Framing(CONTENT_TYPE, InvokeEvents)


def bedrock_messages() -> Mapping[Operation, OperationSpec]:
    """Return the specification of each of Anthropic's operations at Bedrock."""
    refusal = amazon_as_anthropic
    return {
        Operation.MESSAGES: OperationSpec(
            "/model/",
            MessagesReader,
            _write,
            place=model_path("/invoke", "/invoke-with-response-stream"),
            framing=_CHUNKS,
            refusal=refusal,
        ),
        Operation.COUNT_TOKENS: OperationSpec(
            "/model/", CountedReader, _write, place=model_path("/count-tokens"), refusal=refusal
        ),
    }


def _write(call: Call, _offer: Offer) -> bytes:
    """The fields of a request, each as it came, with what its caller's headers say."""
    fields = versioned_fields(call, "bedrock-2023-05-31")
    fields.pop("model", None)
    fields.pop("stream", None)
    given = dict(call.headers).get(b"anthropic-beta", b"").decode("latin-1")
    betas = [beta.strip() for beta in given.split(",") if beta.strip()]
    if betas:
        fields.setdefault("anthropic_beta", msgspec.Raw(msgspec.json.encode(betas)))
    if call.operation is not Operation.COUNT_TOKENS:
        return msgspec.json.encode(fields)
    # as it would be sent, which must have a limit although nothing is answered
    fields.setdefault("max_tokens", msgspec.Raw(b"1"))
    body = b64encode(msgspec.json.encode(fields)).decode()
    return msgspec.json.encode({"input": {"invokeModel": {"body": body}}})
