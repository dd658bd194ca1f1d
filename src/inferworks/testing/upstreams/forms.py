"""Requests that are forms with files, as a fake upstream reads them: not by our own reader.

Source: https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

import email.parser
import email.policy
import json
from collections.abc import Iterator
from email.message import Message
from typing import Any, NamedTuple

from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.script import Body

FILES = "files"
"""Key under which `read_form` puts files: a list of name and bytes."""


class _Part(NamedTuple):
    name: str
    value: bytes
    is_file: bool


def read_form(exchange: Exchange) -> Body | None:
    """Parse the fields by name, with `stream` and `n` converted, and the files; None when it is no form."""
    if not _is_form(exchange):
        return None
    request: Body = {FILES: []}
    for part in _parts(exchange):
        if part.is_file:
            request[FILES].append((part.name, part.value))
        else:
            request[part.name] = part.value.decode(errors="replace")
    request["stream"] = request.get("stream", "false").lower() in {"true", "1"}
    request["n"] = int(request.get("n", "1"))
    return request


def form_fields(exchange: Exchange) -> Body:
    """A form as the request would be in JSON: numbers and truth as such, arrays without their `[]`."""
    fields: Body = {}
    for part in _parts(exchange) if _is_form(exchange) else ():
        value: object = part.name
        if not part.is_file:
            text = part.value.decode(errors="replace")
            try:
                value = json.loads(text)  # a number, a truth or an object
            except ValueError:
                value = text
        if part.name.endswith("[]"):
            fields.setdefault(part.name.removesuffix("[]"), []).append(value)
        else:
            fields[part.name] = value
    return fields


def _is_form(exchange: Exchange) -> bool:
    return exchange.headers.get(b"content-type", b"").startswith(b"multipart/form-data")


def _parts(exchange: Exchange) -> Iterator[_Part]:
    head = b"Content-Type: " + exchange.headers[b"content-type"] + b"\r\n\r\n"
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message: Message[Any, Any] = parser.parsebytes(head + exchange.body)
    for part in message.walk():
        if part is message:
            continue
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes), "a part of a form has no parts"
        name = str(part.get_param("name", header="content-disposition"))
        yield _Part(name, value, part.get_filename() is not None)
