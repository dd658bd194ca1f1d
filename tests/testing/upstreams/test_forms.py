"""Requests that are forms, read with the standard library's parser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.testing.upstreams.forms import FILES, form_fields, read_form

KIND = b"multipart/form-data; boundary=x"


def exchange(*parts: tuple[str, bytes], kind: bytes = KIND) -> Any:
    """A request with parts, each the parameters of its disposition and its bytes."""
    pieces = [
        f"--x\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + value + b"\r\n"
        for named, value in parts
    ]
    return SimpleNamespace(body=b"".join([*pieces, b"--x--\r\n"]), headers={b"content-type": kind})


@pytest.mark.parametrize("kind", [b"application/json", b"", b"text/multipart/form-data"])
def test_another_kind_of_request_is_no_form(kind: bytes) -> None:
    """A request in JSON has no parts, and one without a kind none either."""
    assert read_form(exchange(('name="a"', b"1"), kind=kind)) is None
    assert form_fields(exchange(('name="a"', b"1"), kind=kind)) == {}
    assert read_form(SimpleNamespace(body=b"", headers={})) is None  # type: ignore[arg-type]


def test_fields_and_files_are_apart() -> None:
    """Files are bytes under their names, in order; fields are texts."""
    request = read_form(
        exchange(
            ('name="model"', "gpt-ü".encode()),
            ('name="image[]"; filename="a.png"', b"\x00\xff"),
            ('name="image[]"; filename="b.png"', b""),
        )
    )
    assert request == {
        "model": "gpt-ü",
        FILES: [("image[]", b"\x00\xff"), ("image[]", b"")],
        "stream": False,
        "n": 1,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"true", True),
        (b"TRUE", True),
        (b"1", True),
        (b"false", False),
        (b"0", False),
        (b"", False),
    ],
)
def test_a_stream_is_asked_for_by_a_word(given: bytes, expected: bool) -> None:
    """Any other word than true or 1 asks for none, and the number of choices is a number."""
    request = read_form(exchange(('name="stream"', given), ('name="n"', b"3")))
    assert request == {FILES: [], "stream": expected, "n": 3}


def test_a_form_is_seen_as_json() -> None:
    """Numbers, truths and objects are such, other texts stay; names with brackets are arrays."""
    fields = form_fields(
        exchange(
            ('name="n"', b"2"),
            ('name="temperature"', b"0.5"),
            ('name="stream"', b"true"),
            ('name="chunking"', b'{"type": "server_vad"}'),
            ('name="prompt"', b"a cat"),
            ('name="include[]"', b"logprobs"),
            ('name="include[]"', b"7"),
            ('name="file"; filename="a.wav"', b"RIFF"),
            ('name="empty"', b""),
        )
    )
    assert fields == {
        "n": 2,
        "temperature": 0.5,
        "stream": True,
        "chunking": {"type": "server_vad"},
        "prompt": "a cat",
        "include": ["logprobs", 7],
        "file": "file",
        "empty": "",
    }
