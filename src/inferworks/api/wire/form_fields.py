"""A request that is a form with files: its fields, typed; what is wrong is said in OpenAI's words."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec

from inferworks.api.wire.invalid import invalid
from inferworks.errors import CallError
from inferworks.http.multipart import read_parts, text_fields

Decoded = TypeVar("Decoded", bound=msgspec.Struct)


def decode_form(
    body: bytes, content_type: bytes, fields: type[Decoded], *, file: Collection[str] = ()
) -> Decoded:
    """The fields of `body` that `fields` names; CallError 400 with code and parameter when one is wrong.

    Where names of a `file` are given, one of them must be there.
    """
    try:
        parts = read_parts(body, content_type)
        given = text_fields(body, parts, fields.__struct_fields__)
    except ValueError as error:
        raise CallError(400, f"We could not read the form of your request: {error}.") from error
    if file and not any(part.name in file and part.is_file for part in parts):
        raise invalid(f"Object missing required field `{next(iter(file))}`")
    try:
        return msgspec.convert(given, fields, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
