"""A request that is a form with files: its fields, typed; what is wrong is said in OpenAI's words."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec

from inferworks.api.wire.validation_errors import invalid
from inferworks.errors import CallError
from inferworks.http.multipart import read_parts, text_fields

Decoded = TypeVar("Decoded", bound=msgspec.Struct)


def decode_form(
    body: bytes, content_type: bytes, fields: type[Decoded], *, file: Collection[str] = ()
) -> Decoded:
    """The fields of `body` that `fields` names; CallError 400 with code and parameter when one is wrong.

    Where names of a `file` are given, one of them must be there; of a single name only one file, since
    whoever takes the length of the first must not be charged for while the second is heard.
    """
    try:
        parts = read_parts(body, content_type)
        given = text_fields(body, parts, fields.__struct_fields__)
    except ValueError as error:
        raise CallError(400, f"We could not read the form of your request: {error}.") from error
    given_files = [part for part in parts if part.name.casefold() in file]
    if file and not any(part.is_file and part.name in file for part in given_files):
        raise invalid(f"Object missing required field `{next(iter(file))}`")
    if len(file) == 1 and len(given_files) > 1:
        name = given_files[1].name[:80]
        raise CallError(
            400, f"'{name}' is given twice in your form.", code="duplicate_parameter", param=name
        )
    try:
        return msgspec.convert(given, fields, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
