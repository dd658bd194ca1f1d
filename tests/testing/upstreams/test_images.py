"""OpenAI's images, without a server around them."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.testing.upstreams.forms import FILES
from inferworks.testing.upstreams.images import (
    DRAWN_TOKENS,
    IMAGE_EDITS,
    IMAGES,
    PICTURE,
    SEEN_TOKENS,
)
from inferworks.testing.upstreams.script import Answer, Reports

ANSWER = Answer(input_tokens=3)


def test_a_picture_is_a_png() -> None:
    """The signature of the format, and its last chunk."""
    assert PICTURE.startswith(b"\x89PNG\r\n\x1a\n")
    assert PICTURE[-8:-4] == b"IEND"


@pytest.mark.parametrize(("n", "count"), [(None, 1), (1, 1), (3, 3)])
@pytest.mark.parametrize("seen", [0, 2])
def test_usage_counts_pictures(n: int | None, count: int, seen: int) -> None:
    """Text and pictures that were read and pictures that were made, which add up."""
    request = {"n": n, FILES: ["a picture"] * seen}
    body = IMAGES.whole(ANSWER, request)
    assert [base64.b64decode(one["b64_json"]) for one in body["data"]] == [PICTURE] * count
    assert body["usage"] == {
        "input_tokens": 3 + SEEN_TOKENS * seen,
        "input_tokens_details": {"text_tokens": 3, "image_tokens": SEEN_TOKENS * seen},
        "output_tokens": DRAWN_TOKENS * count,
        "output_tokens_details": {"image_tokens": DRAWN_TOKENS * count, "text_tokens": 0},
        "total_tokens": 3 + SEEN_TOKENS * seen + DRAWN_TOKENS * count,
    }


def test_size_and_quality_are_as_asked() -> None:
    """Or the least of both."""
    plain, asked = (
        IMAGES.whole(ANSWER, request) for request in ({}, {"size": "1536x1024", "quality": "high"})
    )
    assert (plain["size"], plain["quality"]) == ("1024x1024", "low")
    assert (asked["size"], asked["quality"]) == ("1536x1024", "high")


@pytest.mark.parametrize(
    ("wire", "kind"), [(IMAGES, "image_generation"), (IMAGE_EDITS, "image_edit")]
)
@pytest.mark.parametrize(("partial", "early"), [(None, []), ("0", []), (2, [0, 1])])
def test_partial_pictures_come_before_whole_ones(
    wire: Any, kind: str, partial: object, early: list[int]
) -> None:
    """Each whole one has the usage of one, and only partial ones are numbered."""
    events = list(wire.events(ANSWER, {"n": 2, "partial_images": partial}))
    types = [event["type"].removeprefix(f"{kind}.") for event in events]
    assert types == ["partial_image"] * len(early) + ["completed"] * 2
    numbers = [event.get("partial_image_index") for event in events]
    assert numbers == [*early, None, None]
    told = [event.get("usage", {}).get("output_tokens") for event in events]
    assert told == [None] * len(early) + [DRAWN_TOKENS] * 2


def test_usage_may_be_missing() -> None:
    """An upstream that reports never has none, whole or streamed."""
    answer = Answer(reports=Reports.NEVER)
    assert "usage" not in IMAGES.whole(answer, {})
    assert all("usage" not in event for event in IMAGES.events(answer, {}))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", None),
        (b'{"prompt": "a"}', {"prompt": "a", FILES: ()}),
        (b'{"images": [{"file_id": "x"}]}', {"images": [{"file_id": "x"}], FILES: [{"file_id": "x"}]}),
    ],
)  # fmt: skip
def test_an_edit_may_name_its_pictures(body: bytes, expected: object) -> None:
    """Pictures that JSON names by their addresses count as those of a form do."""
    exchange: Any = SimpleNamespace(body=body, headers={})
    assert IMAGE_EDITS.read(exchange) == expected


def test_an_edit_may_be_a_form() -> None:
    """Its pictures are files."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        + PICTURE
        + b"\r\n--x--\r\n"
    )
    headers = {b"content-type": b"multipart/form-data; boundary=x"}
    exchange: Any = SimpleNamespace(body=body, headers=headers)
    request = IMAGE_EDITS.read(exchange)
    assert request == {FILES: [("image", PICTURE)], "stream": False, "n": 1}
