"""Stability's pictures, without a server around them."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.testing.upstreams.forms import FILES
from inferworks.testing.upstreams.images import PICTURE
from inferworks.testing.upstreams.script import Answer
from inferworks.testing.upstreams.stability import SEED, STABLE_IMAGE, error_of


def read(accept: bytes | None = None, **fields: str) -> dict[str, Any] | None:
    """A form of fields, as it is read."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    headers = {b"content-type": b"multipart/form-data; boundary=x"}
    if accept is not None:
        headers[b"accept"] = accept
    exchange: Any = SimpleNamespace(body="".join([*parts, "--x--\r\n"]).encode(), headers=headers)
    return STABLE_IMAGE.read(exchange)


@pytest.mark.parametrize("accept", [None, b"image/*", b"application/json", b"*/*"])
def test_a_form_is_read(accept: bytes | None) -> None:
    """The type that is accepted goes with it; none is any picture."""
    assert read(accept, prompt="a cat") == {
        FILES: [],
        "prompt": "a cat",
        "stream": False,
        "n": 1,
        "accept": (accept or b"image/*").decode(),
    }


@pytest.mark.parametrize(
    ("accept", "fields"),
    [
        (b"image/png", {"prompt": "a cat"}),
        (None, {}),
        (None, {"prompt": ""}),
        (None, {"prompt": "a cat", "aspect_ratio": "4:3"}),
    ],
    ids=["accepts another type", "no prompt", "a blank prompt", "another ratio"],
)
def test_the_real_one_would_refuse(accept: bytes | None, fields: dict[str, str]) -> None:
    """A request that Stability turns away is none, nor is one that is no form."""
    assert read(accept, **fields) is None
    no_form: Any = SimpleNamespace(body=b"{}", headers={})
    assert STABLE_IMAGE.read(no_form) is None
    assert read(None, prompt="a cat", aspect_ratio="16:9") is not None


@pytest.mark.parametrize(("words", "reason"), [(("a",), "SUCCESS"), ((), "CONTENT_FILTERED")])
def test_a_picture_comes_as_itself_or_in_json(words: tuple[str, ...], reason: str) -> None:
    """The seed and the reason are headers or fields; a picture without words was blurred."""
    answer = Answer(words=words)
    assert STABLE_IMAGE.whole(answer, {}) == {
        "image": base64.b64encode(PICTURE).decode(),
        "finish_reason": reason,
        "seed": SEED,
    }
    assert STABLE_IMAGE.written(answer, {"accept": "application/json"}) is None
    written = STABLE_IMAGE.written(answer, {"accept": "image/*"})
    assert written is not None
    assert (written.content_type, written.pieces) == (b"image/png", (PICTURE,))
    assert dict(written.headers) == {
        b"finish-reason": reason.encode(),
        b"seed": str(SEED).encode(),
    }
    webp = STABLE_IMAGE.written(answer, {"accept": "*/*", "output_format": "webp"})
    assert webp is not None
    assert webp.content_type == b"image/webp"


@pytest.mark.parametrize(
    ("status", "name", "message"),
    [
        (401, "unauthorized", "authorization: invalid or missing header value"),
        (418, "internal_error", "status 418"),
    ],
)
def test_errors_have_a_name_and_a_list(status: int, name: str, message: str) -> None:
    """A status without words of its own is an error within."""
    body = json.loads(error_of(status))
    assert (body["name"], body["errors"]) == (name, [message])
    assert STABLE_IMAGE.error_of(status) == error_of(status)
