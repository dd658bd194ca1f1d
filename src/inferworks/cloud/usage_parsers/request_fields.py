"""Request fields without which an answer's usage cannot be counted."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from inferworks.cloud.call import Call
from inferworks.errors import UpstreamError
from inferworks.http.multipart import is_form, read_parts, text_fields

Fields = TypeVar("Fields", bound=msgspec.Struct)


def asked(call: Call, fields: type[Fields]) -> Fields:
    """The fields of `call` that `fields` names, from JSON or from a form.

    The API has decoded it before, so it can be read; UpstreamError, of a call not sent, where it cannot.
    """
    try:
        if not is_form(call.content_type):
            return msgspec.json.decode(call.body, type=fields)
        parts = read_parts(call.body, call.content_type)
        given = text_fields(call.body, parts, fields.__struct_fields__)
        return msgspec.convert(given, fields, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UpstreamError(f"the request cannot be read: {error}", sent=False) from error
