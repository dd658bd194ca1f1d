"""Anthropic's API: messages and the counting of their tokens.

A request goes down as it came, with the model's name at this upstream; usage is in every answer without
asking. Callers of other dialects reach it through `cloud.translate`. The credential is
`KeyCredential(b"x-api-key", key)`, or a bearer token.

Source: https://platform.claude.com/docs/en/api/overview
"""

from __future__ import annotations

from collections.abc import Mapping

from inferworks.cloud.call import Call
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passing import PassingProvider, Profile, Spoken
from inferworks.cloud.readers.anthropic import CountReader, MessagesReader
from inferworks.cloud.rewrite import with_model
from inferworks.http.client import HttpClient

VERSION = b"2023-06-01"
"""The version of the API that a caller gets who names none."""


def anthropic_provider(
    client: HttpClient,
    credential: Credential,
    *,
    name: str,
    between_bytes_s: float = 120.0,
    max_answer_bytes: int = 64 * 1024 * 1024,
) -> PassingProvider:
    """A provider for `https://api.anthropic.com/v1`, or for who speaks like it."""
    profile = Profile(
        name,
        anthropic_operations(),
        headers=((b"anthropic-version", VERSION),),
        between_bytes_s=between_bytes_s,
        max_answer_bytes=max_answer_bytes,
    )
    return PassingProvider(client, profile, credential)


def anthropic_operations() -> Mapping[Operation, Spoken]:
    """How Anthropic's API is asked for each of its operations."""
    return {
        Operation.MESSAGES: Spoken("/messages", MessagesReader, _write),
        Operation.COUNT_TOKENS: Spoken("/messages/count_tokens", CountReader, _write),
    }


def _write(call: Call, offer: Offer) -> bytes:
    name = offer.upstream_model
    return with_model(call.body, name) if name else call.body
