"""Thoughts that nobody has signed, left out of a request in Anthropic's words.

An answer of another vendor's model, put over for a client of Anthropic's, has thoughts with an empty
signature, which come back in the next turn. Where Claude serves that one (a fallback, another model), it
would refuse the request for them: `Invalid signature in thinking block`. A request without any passes as
it came, byte for byte.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields, with_value

_UNSIGNED: Final = re.compile(rb'"signature"[ \t\r\n]*+:[ \t\r\n]*+""')
_Fields: TypeAlias = dict[str, msgspec.Raw]
_read_messages = msgspec.json.Decoder(list[_Fields]).decode
_read_blocks = msgspec.json.Decoder(list[_Fields]).decode


def without_unsigned(body: bytes) -> bytes:
    """The request `body` less the thoughts in its turns that have an empty signature.

    A turn that was nothing else is left out with them. DecodeError when it is no object.
    """
    if _UNSIGNED.search(body) is None:
        return body
    fields = read_fields(body)
    kept: list[_Fields] = []
    try:
        turns = _read_messages(fields.get("messages", b""))
        for turn in turns:
            content = bytes(turn.get("content", b""))
            blocks = _read_blocks(content) if content.startswith(b"[") else []
            signed = [
                block
                for block in blocks
                if bytes(block.get("type", b"")) != b'"thinking"'
                or bytes(block.get("signature", b"")) != b'""'
            ]
            if len(signed) == len(blocks):
                kept += [turn] if turn else []
            elif signed:
                kept.append({**turn, "content": msgspec.Raw(msgspec.json.encode(signed))})
    except msgspec.DecodeError:
        return body  # the upstream says what is wrong with it
    return (
        body if kept == turns else with_value(body, fields, "messages", msgspec.json.encode(kept))
    )
