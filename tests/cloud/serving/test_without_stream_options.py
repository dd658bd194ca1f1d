"""Upstreams that refuse `stream_options` are never sent any."""

from __future__ import annotations

import json

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.testing.providers import make_call, make_offer


def asked(body: bytes) -> Call:
    """A call with this body."""
    return msgspec.structs.replace(make_call(), body=body)


def test_the_option_is_taken_out_and_nothing_else() -> None:
    """A request without it is passed untouched; one with it loses it and keeps every other value."""
    write = openai_operations(stream_usage=False)[Operation.CHAT].write
    plain = b'{"model": "m",  "stream": true}'
    asking = b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"seed":1.50}'
    offer = make_offer()
    assert write(asked(plain), offer) == plain
    assert write(asked(asking), offer) == b'{"model":"m","stream":true,"seed":1.50}'


def test_the_model_is_renamed_all_the_same() -> None:
    """The name at the upstream takes the caller's place, with the option or without."""
    write = openai_operations(stream_usage=False)[Operation.CHAT].write
    offer = msgspec.structs.replace(make_offer(), upstream_model="vendor/m")
    for body in (b'{"model":"m"}', b'{"model":"m","stream_options":{}}'):
        assert json.loads(write(asked(body), offer)) == {"model": "vendor/m"}
