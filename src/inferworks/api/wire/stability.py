"""Stability's `stable-image`: what we read of a request, and how a refusal is written.

The path says what is made, `sd3` by a model of the caller's choice and the other two by the one of that
name; our names of those are `stable-image-core` and `stable-image-ultra`. Asked for `image/*` the answer is
the picture, its seed and how it went in headers; asked for `application/json` all of it is in the body.

Source: https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

import msgspec

from inferworks.api.wire.base import EndpointSpec, ErrorStyle, RequestInfo
from inferworks.api.wire.form_fields import decode_form
from inferworks.cloud.operation import Operation
from inferworks.dialects.errors import StabilityError
from inferworks.dialects.stability import StableImageFields
from inferworks.errors import CallError

_FORWARDED = frozenset(
    {b"accept", b"stability-client-id", b"stability-client-user-id", b"stability-client-version"}
)


def decode_stable_image(model: str, body: bytes, content_type: bytes) -> RequestInfo:
    """The request in `body`, whose path names `model`; empty where the body names it."""
    fields = decode_form(body, content_type, StableImageFields)
    return RequestInfo(model or fields.model)


def error_body(error: CallError, request_id: str) -> bytes:
    """Stability's error body; its `name` is the status in words."""
    name = HTTPStatus(error.status).name.lower()
    return msgspec.json.encode(StabilityError(request_id, name, [error.message]))


STABILITY_ERRORS = ErrorStyle(error_body, lambda error, id_, _before: error_body(error, id_))

STABLE_IMAGE_CORE, STABLE_IMAGE_ULTRA, STABLE_IMAGE_SD3 = (
    EndpointSpec(
        Operation.STABLE_IMAGE,
        partial(decode_stable_image, model),
        STABILITY_ERRORS,
        forwarded=_FORWARDED,
        fields=StableImageFields,
    )
    for model in ("stable-image-core", "stable-image-ultra", "")
)
