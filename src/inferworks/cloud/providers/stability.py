"""Stability's API: `stable-image`, from a text to a picture.

A request goes down as it came. Which of the three paths it goes to is said by the name of the model at
this upstream: `stable-image-core` and `stable-image-ultra` have their own, and every other model is one of
`sd3`, where the form names it. The credential is a bearer token.

Source: https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

from typing import Final

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import OperationSpec, Profile
from inferworks.cloud.usage_parsers.stability import StableImageReader
from inferworks.http.multipart import with_field, without_field

_OWN_PATHS: Final = {"stable-image-core": "/core", "stable-image-ultra": "/ultra"}
_BY_MODEL: Final = "/sd3"


def _place(call: Call, offer: Offer) -> str:
    return _OWN_PATHS.get(offer.upstream_model or call.model, _BY_MODEL)


def _write(call: Call, offer: Offer) -> bytes:
    """The form as it came, but for a model that is named by the path alone or has another name here."""
    name = offer.upstream_model
    if (name or call.model) in _OWN_PATHS:
        return without_field(call.body, call.content_type, "model")
    return with_field(call.body, call.content_type, "model", name) if name else call.body


STABILITY: Final = Profile(
    "stability",
    {
        Operation.STABLE_IMAGE: OperationSpec(
            "/stable-image/generate", StableImageReader, _write, place=_place
        ),
    },
    headers=((b"accept", b"image/*"),),
    answer_headers=(b"finish-reason", b"seed"),
)
"""Profile of `https://api.stability.ai/v2beta` and of compatible APIs."""
