"""Every door, with hostile bytes in every place: its work grows with their number and no faster."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from tests.support.growth import TEXTS, Filling, check_growth, objects

from inferworks.api.app import FORMS
from inferworks.api.wire.validation_errors import invalid
from inferworks.cloud.bodies.rewrite import with_model, without_value
from inferworks.cloud.operation import Operation

GOOD = {
    "model": b'"m"',
    "messages": b'[{"role":"user","content":"a"}]',
    "prompt": b'"a"',
    "input": b'"a"',
    "query": b'"a"',
    "documents": b'["a"]',
    "max_tokens": b"1",
}
"""A value for each field that some door must be given."""
JSON_DOORS = {form.operation: form for form in FORMS.values() if form.request is not None}
FORM_DOORS = {path: form for path, form in FORMS.items() if form.fields is not None}
FORM = b'multipart/form-data; boundary="b"'


@pytest.mark.parametrize("operation", JSON_DOORS)
def test_a_request_in_json(operation: Operation) -> None:
    """Decoding time grows with the body alone, whatever fills its fields, names and gaps."""
    form = JSON_DOORS[operation]
    fields = msgspec.structs.fields(form.request)
    base = {field.name: GOOD[field.name] for field in fields if field.required}
    assert form.decode(
        b"{%b}" % b",".join(b'"%b":%b' % (n.encode(), v) for n, v in base.items()), b""
    )
    for what, body in objects([field.name for field in fields], base):
        check_growth(body, lambda data: form.decode(data, b"application/json"), what)


def test_what_is_changed_of_a_request() -> None:
    """A model that is renamed and a wish that is taken out, however the request is filled."""
    base = {**GOOD, "usage": b'{"include":true}'}
    for what, body in objects(["messages", "usage"], base):
        check_growth(body, lambda data: with_model(without_value(data, "usage"), "another"), what)


@pytest.mark.parametrize("path", FORM_DOORS)
def test_a_request_in_parts(path: str) -> None:
    """Decoding time grows with the body alone, whatever fills a form's parts, headers and gaps."""
    form = FORM_DOORS[path]
    names = [field.name for field in msgspec.structs.fields(form.fields)]
    assert form.decode(_parts({}), FORM).model

    def decode(body: bytes) -> object:
        return form.decode(body, FORM)

    for filling in TEXTS:
        for name in [*names, "file", "image", "something else"]:
            check_growth(partial(_form, name, filling), decode, f"{filling.name} in {name}")
        for head in HEADS:
            check_growth(partial(_head, head, filling), decode, f"{filling.name} in {head[:40]!r}")
        check_growth(
            filling.of,
            lambda text: form.decode(b"--b--", b"multipart/form-data" + text),
            f"{filling.name} in the content type",
        )


HEADS = (
    b'--b\r\nContent-Disposition: form-data; name="%(x)b"\r\n\r\na\r\n--b--\r\n',
    b"--b\r\nContent-Disposition: form-data; %(x)b\r\n\r\na\r\n--b--\r\n",
    b"--b\r\nContent-Disposition:%(x)b\x01\r\n\r\na\r\n--b--\r\n",
    b"--b\r\n%(x)b\r\n\r\na\r\n--b--\r\n",
    b"--b%(x)b\r\n\r\na\r\n--b--\r\n",
    b"%(x)b--b--\r\n",
    b"--b--%(x)b",
)


def _form(name: str, filling: Filling, size: int) -> bytes:
    return _parts({name: filling.of(size)})


def _head(head: bytes, filling: Filling, size: int) -> bytes:
    return head % {b"x": filling.of(size)}


def _parts(fields: dict[str, bytes]) -> bytes:
    body = b""
    for name, text in {
        "model": b"m",
        "prompt": b"a",
        "file": b"RIFF",
        "image": b"PNG",
        **fields,
    }.items():
        kind = b'; filename="x"' if name in {"file", "image"} else b""
        head = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n' % (name.encode(), kind)
        body += head + text + b"\r\n"
    return body + b"--b--\r\n"


def test_what_a_decoder_complains_of() -> None:
    """A value that is quoted in a complaint may look like a complaint."""
    for filling in TEXTS:
        check_growth(filling.of, _complaint, filling.name)


def _complaint(value: bytes) -> object:
    return invalid(f"Invalid enum value '{value.decode()}' - at `$.x`")
