"""Requests that are forms with files, as a fake upstream reads them: not by our own reader.

Source: https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

import email.parser
import email.policy
from email.message import Message
from typing import Any

from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.script import Body

FILES = "files"
"""Where `read_form` puts what came as a file: a list of name and bytes."""


def read_form(exchange: Exchange) -> Body | None:
    """The fields by name, `stream` and `n` as what they mean, and the files; None when it is no form."""
    content_type = exchange.headers.get(b"content-type", b"")
    if not content_type.startswith(b"multipart/form-data"):
        return None
    head = b"Content-Type: " + content_type + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + exchange.body)
    request: Body = {FILES: []}
    for part in message.walk():
        if part is not message:
            _add(request, part)
    request["stream"] = request.get("stream", "false").lower() in {"true", "1"}
    request["n"] = int(request.get("n", "1"))
    return request


def _add(request: Body, part: Message[Any, Any]) -> None:
    name = str(part.get_param("name", header="content-disposition"))
    value = part.get_payload(decode=True)
    assert isinstance(value, bytes), "a part of a form has no parts"
    if part.get_filename() is not None:
        request[FILES].append((name, value))
    else:
        request[name] = value.decode(errors="replace")
