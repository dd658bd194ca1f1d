"""Anthropic's models on Google's Vertex AI: messages, with the model in the path.

    .../publishers/anthropic/models/MODEL:rawPredict          a whole message
    .../publishers/anthropic/models/MODEL:streamRawPredict    a stream
    .../publishers/anthropic/models/count-tokens:rawPredict   the model stands in the body

The body is Anthropic's but for two fields: `model` is not in it, and `anthropic_version`, a header with
Anthropic, is. Its oldest version has a name of Vertex's own. Everything else passes, answers as they came.
Gemini, at the same hosts, is asked in OpenAI's dialect (`providers.openai`). Its models are named with a
publisher there (`google/gemini-2.5-flash`), as no price list names them, and its errors are Google's.

Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude,
https://platform.claude.com/docs/en/api/versioning
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.anthropic import versioned_fields
from inferworks.cloud.providers.passthrough import OperationSpec, model_path
from inferworks.cloud.usage_parsers.anthropic import CountReader, MessagesReader
from inferworks.cloud.usage_parsers.cloud_errors import google_as_anthropic, google_as_openai


def vertex_messages() -> Mapping[Operation, OperationSpec]:
    """Return the specification of each of Anthropic's operations at Vertex."""
    return {
        Operation.MESSAGES: OperationSpec(
            "/",
            MessagesReader,
            _write,
            place=model_path(":rawPredict", ":streamRawPredict", unquoted="@"),
            refusal=google_as_anthropic,
        ),
        Operation.COUNT_TOKENS: OperationSpec(
            "/count-tokens:rawPredict", CountReader, _write, refusal=google_as_anthropic
        ),
    }


def gemini_operations(
    specs: Mapping[Operation, OperationSpec],
) -> Mapping[Operation, OperationSpec]:
    """OpenAI's operations as `specs`, for models that need a publisher; errors in OpenAI's words."""
    return {
        operation: replace(
            spec,
            write=_published(spec.write),
            refusal=google_as_openai,
            whole_as_it_came=False,
        )
        for operation, spec in specs.items()
    }


def _published(write: Callable[[Call, Offer], bytes]) -> Callable[[Call, Offer], bytes]:
    """`write`, with Google as the publisher of a model that is named without one."""

    def written(call: Call, offer: Offer) -> bytes:
        name = offer.upstream_model or call.model
        if "/" not in name:
            offer = msgspec.structs.replace(offer, upstream_model=f"google/{name}")
        return write(call, offer)

    return written


def _write(call: Call, offer: Offer) -> bytes:
    fields = versioned_fields(call, "vertex-2023-10-16")
    fields.pop("model", None)
    if call.operation is Operation.COUNT_TOKENS:
        model = offer.upstream_model or call.model
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)
