"""Anthropic's API: messages and the counting of their tokens.

A request goes down as it came, with the model's name at this upstream and without thoughts that nobody has
signed; usage is in every answer without
asking. Callers of other dialects reach it through `cloud.translate`. The credential is
`KeyCredential(b"x-api-key", key)`, or a bearer token.

Source: https://platform.claude.com/docs/en/api/overview
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields, with_model
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import OperationSpec, Profile
from inferworks.cloud.providers.unsigned import without_unsigned
from inferworks.cloud.usage_parsers.anthropic import CountReader, MessagesReader

VERSION: Final = b"2023-06-01"
"""The version of the API that a caller gets who names none."""


def _write(call: Call, offer: Offer) -> bytes:
    name, body = offer.upstream_model, without_unsigned(call.body)
    return with_model(body, name) if name else body


ANTHROPIC: Final = Profile(
    "anthropic",
    {
        Operation.MESSAGES: OperationSpec("/messages", MessagesReader, _write),
        Operation.COUNT_TOKENS: OperationSpec("/messages/count_tokens", CountReader, _write),
    },
    headers=((b"anthropic-version", VERSION),),
)
"""Profile of `https://api.anthropic.com/v1` and of compatible APIs."""


def versioned_fields(call: Call, oldest: str) -> dict[str, msgspec.Raw]:
    """The fields of a request, each as it came, and the version of its caller's header, for a cloud.

    The clouds have names of their own for the oldest version, `oldest`; newer ones have the same name.
    """
    version = dict(call.headers).get(b"anthropic-version") or VERSION
    name = oldest if version == VERSION else version.decode("latin-1")
    fields = read_fields(without_unsigned(call.body))
    fields.setdefault("anthropic_version", msgspec.Raw(msgspec.json.encode(name)))
    return fields
