"""OpenAI's images: what we read of a request to make or to edit some.

Edits come as a form with files, or as JSON that names files by their address; generations as JSON. With
`stream` the pictures come as events, unfinished ones before the finished one.

Source: https://platform.openai.com/docs/api-reference/images
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.form_fields import decode_form
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_images import ImageEditFields, ImagesRequest
from inferworks.http.multipart import is_form

_PICTURES = ("image", "image[]")
_decode = msgspec.json.Decoder(ImagesRequest).decode


def decode_images(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode)
    end_user = request.safety_identifier or request.user or ""
    stream, choices = bool(request.stream), request.n or 1
    return RequestInfo(request.model, stream=stream, end_user=end_user, choices=choices)


def decode_image_edit(body: bytes, content_type: bytes) -> RequestInfo:
    """The request in `body`, a form or JSON; CallError 400 when it is wrong."""
    if not is_form(content_type):
        return decode_images(body)
    fields = decode_form(body, content_type, ImageEditFields, file=_PICTURES)
    end_user = fields.safety_identifier or fields.user
    return RequestInfo(fields.model, stream=fields.stream, end_user=end_user, choices=fields.n)


IMAGES = EndpointSpec(Operation.IMAGES, decode_images, OPENAI_ERRORS, request=ImagesRequest)
IMAGE_EDITS = EndpointSpec(
    Operation.IMAGE_EDITS,
    decode_image_edit,
    OPENAI_ERRORS,
    request=ImagesRequest,
    fields=ImageEditFields,
)
