"""The OpenAI dialect: OpenAI itself, and everything that speaks like it, our own replicas included.

Two things are added on the way down: the usage of a stream is always asked for
(`stream_options.include_usage`), because a call without usage cannot be billed, and from upstreams that
know it also the running usage (`continuous_usage_stats`, an extension of vLLM), because a stream that
breaks off has been paid for. The reader takes out again what the client did not ask for.

Source: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields, with_model, with_value
from inferworks.cloud.call import Call
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import OperationSpec, PassthroughProvider, Profile
from inferworks.cloud.usage_parsers.anthropic import CountReader
from inferworks.cloud.usage_parsers.audio import SpeechReader, TranscriptionReader
from inferworks.cloud.usage_parsers.images import ImagesReader
from inferworks.cloud.usage_parsers.non_streaming import (
    ModerationsReader,
    RerankReader,
    WholeReader,
)
from inferworks.cloud.usage_parsers.openai import ChatReader
from inferworks.cloud.usage_parsers.priced import priced
from inferworks.cloud.usage_parsers.responses import ResponsesReader
from inferworks.dialects.token_conventions import AS_OPENAI, Counting
from inferworks.http.client import HttpClient
from inferworks.http.multipart import is_form, with_field

_TRUE = msgspec.Raw(b"true")


def openai_provider(
    client: HttpClient,
    credential: Credential,
    *,
    name: str,
    running_usage: bool = False,
    operations: Collection[Operation] = tuple(Operation),
) -> PassthroughProvider:
    """Return the provider of an upstream that `openai_profile` describes."""
    profile = openai_profile(name, running_usage=running_usage, operations=operations)
    return PassthroughProvider(client, profile, credential)


def openai_profile(
    name: str,
    *,
    running_usage: bool = False,
    operations: Collection[Operation] = tuple(Operation),
) -> Profile:
    """Return the profile of an upstream; `running_usage` says that it knows `continuous_usage_stats`.

    Of `operations` it is sent those that the dialect has.
    """
    specs = openai_operations(running_usage=running_usage)
    return Profile(name, {one: spec for one, spec in specs.items() if one in operations})


def openai_operations(
    *, running_usage: bool = False, stream_usage: bool = True, counting: Counting = AS_OPENAI
) -> Mapping[Operation, OperationSpec]:
    """Return the specification of each of OpenAI's operations, with the token conventions of its answers.

    Without `stream_usage` the upstream refuses `stream_options`, and reports its usage unasked.
    """
    chat_reader = partial(ChatReader, running_usage=running_usage, counting=counting)
    responses_reader = partial(ResponsesReader, counting=counting)
    write = _writer(running_usage) if stream_usage else _write_without_options
    heard = _with_usage_of_sound if running_usage else renamed
    specs = {
        Operation.CHAT: OperationSpec("/chat/completions", chat_reader, write),
        Operation.COMPLETIONS: OperationSpec("/completions", chat_reader, write),
        Operation.RESPONSES: OperationSpec("/responses", responses_reader, renamed),
        Operation.INPUT_TOKENS: OperationSpec("/responses/input_tokens", CountReader, renamed),
        Operation.EMBEDDINGS: OperationSpec("/embeddings", WholeReader, renamed),
        Operation.MODERATIONS: OperationSpec("/moderations", ModerationsReader, renamed),
        Operation.RERANK: OperationSpec("/rerank", RerankReader, renamed),
        Operation.IMAGES: OperationSpec("/images/generations", ImagesReader, renamed),
        Operation.IMAGE_EDITS: OperationSpec("/images/edits", ImagesReader, renamed),
        Operation.SPEECH: OperationSpec(
            "/audio/speech", SpeechReader, renamed, pieces=SpeechReader
        ),
        Operation.TRANSCRIPTIONS: OperationSpec(
            "/audio/transcriptions", TranscriptionReader, heard, may_be_whole=True
        ),
        Operation.TRANSLATIONS: OperationSpec("/audio/translations", TranscriptionReader, renamed),
    }
    return {
        operation: replace(
            spec,
            reader=priced(spec.reader, counting),
            whole_as_it_came=spec.write is not _write_without_options,
        )
        for operation, spec in specs.items()
    }


def _writer(running_usage: bool) -> Callable[[Call, Offer], bytes]:
    def write(call: Call, offer: Offer) -> bytes:
        name = offer.upstream_model
        if call.stream:
            return with_usage(call.body, running=running_usage, model=name)
        return renamed(call, offer) if name else call.body

    return write


def _with_usage_of_sound(call: Call, offer: Offer) -> bytes:
    """The form for an upstream that tells the usage of a stream when a field of its own asks for it."""
    body = renamed(call, offer)
    if not call.stream:
        return body
    return with_field(body, call.content_type, "stream_include_usage", "true")


def _write_without_options(call: Call, offer: Offer) -> bytes:
    """The request for an upstream that knows no `stream_options`; untouched where nothing must change."""
    name = offer.upstream_model
    if b'"stream_options"' not in call.body:
        return renamed(call, offer)
    fields = read_fields(call.body)
    fields.pop("stream_options", None)
    if name:
        fields["model"] = msgspec.Raw(msgspec.json.encode(name))
    return msgspec.json.encode(fields)


def renamed(call: Call, offer: Offer) -> bytes:
    """The request with the name that the upstream has for the model; else the bytes that came."""
    name = offer.upstream_model
    if not name:
        return call.body
    if is_form(call.content_type):
        return with_field(call.body, call.content_type, "model", name)
    return with_model(call.body, name)


def with_usage(body: bytes, *, running: bool, model: str = "") -> bytes:
    """The request `body` asking for usage, of `model` if one is named; every other byte stays."""
    fields = read_fields(body)
    given = bytes(fields.get("stream_options", b"null"))
    options = {} if given == b"null" else read_fields(given)
    wanted = {**options, "include_usage": _TRUE}
    if running:
        wanted["continuous_usage_stats"] = _TRUE
    if options != wanted:
        body = with_value(body, fields, "stream_options", msgspec.json.encode(wanted))
    if model:
        body = with_value(body, fields, "model", msgspec.json.encode(model))
    return body
