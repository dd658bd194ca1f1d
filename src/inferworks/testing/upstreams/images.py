"""OpenAI's images as a fake upstream makes them: all of them the same one, of one pixel.

Sources: https://platform.openai.com/docs/api-reference/images/object, /images-streaming
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import ClassVar

from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.forms import FILES, read_form
from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire, read_json

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
"""A PNG."""
SEEN_TOKENS = 7
"""Tokens of an input picture."""
DRAWN_TOKENS = 11
"""Tokens of an output picture."""


def _usage(answer: Answer, request: Body, made: int) -> Body:
    seen = SEEN_TOKENS * len(request.get(FILES, ()))
    text, drawn = answer.input_tokens, DRAWN_TOKENS * made
    return {
        "input_tokens": text + seen,
        "input_tokens_details": {"text_tokens": text, "image_tokens": seen},
        "output_tokens": drawn,
        "total_tokens": text + seen + drawn,
    }


def _encoded() -> str:
    return base64.b64encode(PICTURE).decode()


class _Images(Wire):
    named = True
    kind: ClassVar[str] = "image_generation"

    def whole(self, answer: Answer, request: Body) -> Body:
        images = [{"b64_json": _encoded()}] * (request.get("n") or 1)
        body: Body = {
            "created": 1713833628,
            "data": images,
            "background": "opaque",
            "output_format": "png",
            "quality": request.get("quality", "low"),
            "size": request.get("size", "1024x1024"),
        }
        if answer.reports is not Reports.NEVER:
            usage = _usage(answer, request, len(images))
            drawn = usage["output_tokens"]
            usage["output_tokens_details"] = {"image_tokens": drawn, "text_tokens": 0}
            body["usage"] = usage
        return body

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        partial = int(request.get("partial_images") or 0)
        common = {
            "b64_json": _encoded(),
            "created_at": 1713833628,
            "size": request.get("size", "1024x1024"),
            "quality": "low",
            "background": "opaque",
            "output_format": "png",
        }
        for number in range(partial):
            yield {"type": f"{self.kind}.partial_image", **common, "partial_image_index": number}
        for _ in range(request.get("n") or 1):
            done: Body = {"type": f"{self.kind}.completed", **common}
            if answer.reports is not Reports.NEVER:
                done["usage"] = _usage(answer, request, 1)
            yield done


class _ImageEdits(_Images):
    kind = "image_edit"

    def read(self, exchange: Exchange) -> Body | None:
        """A form with pictures, or JSON that names them by their addresses."""
        request = read_form(exchange) or read_json(exchange)
        return request and {FILES: request.get("images", ()), **request}


IMAGES = _Images()
IMAGE_EDITS = _ImageEdits()
