"""OpenAI's images: what we read of a request to make or to edit some.

Edits come as a form with files, or as JSON that names files by their address; generations as JSON. With
`stream` the pictures come as events, unfinished ones before the finished one.

Source: https://platform.openai.com/docs/api-reference/images
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.api.wire.base import Asked, Form
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.form_fields import decode_form
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.http.multipart import is_form

_PICTURES = ("image", "image[]")
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Prompt = Annotated[str, Meta(min_length=1)]
_Few = Annotated[int, Meta(ge=1, le=10)]
_User = Annotated[str, Meta(max_length=4096)]


class ImagesRequest(msgspec.Struct, gc=False):
    """The parameters of `images.generations` that we check; `images.edits` in JSON has them too."""

    model: _Name
    prompt: _Prompt
    n: _Few | None = None
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None
    size: str | None = None
    quality: str | None = None
    response_format: str | None = None
    stream: bool | None = None
    user: _User | None = None
    safety_identifier: _User | None = None
    """OpenAI's newer name of `user`, which goes before it."""


class ImageEditFields(msgspec.Struct, gc=False):
    """The fields of an `images.edits` form that we check."""

    model: _Name
    prompt: _Prompt
    n: _Few = 1
    stream: bool = False
    user: _User = ""
    safety_identifier: _User = ""


_decode = msgspec.json.Decoder(ImagesRequest).decode


def decode_images(body: bytes, _content_type: bytes = b"") -> Asked:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode)
    end_user = request.safety_identifier or request.user or ""
    return Asked(request.model, stream=bool(request.stream), end_user=end_user)


def decode_image_edit(body: bytes, content_type: bytes) -> Asked:
    """The request in `body`, a form or JSON; CallError 400 when it is wrong."""
    if not is_form(content_type):
        return decode_images(body)
    fields = decode_form(body, content_type, ImageEditFields, file=_PICTURES)
    end_user = fields.safety_identifier or fields.user
    return Asked(fields.model, stream=fields.stream, end_user=end_user)


IMAGES = Form(Operation.IMAGES, decode_images, OPENAI_ERRORS, request=ImagesRequest)
IMAGE_EDITS = Form(
    Operation.IMAGE_EDITS,
    decode_image_edit,
    OPENAI_ERRORS,
    request=ImagesRequest,
    fields=ImageEditFields,
)
