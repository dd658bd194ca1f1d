"""OpenAI's images, made or edited.

Edits come as a form with files, or as JSON that names files by their address; generations as JSON. The
gateway checks the parameters that it knows (`ImagesRequest`), and a translation reads the few that another
dialect has words for (`FullImagesRequest`), one of which the gateway leaves to the upstream.

Source: https://platform.openai.com/docs/api-reference/images
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.dialects.openai_usage import InputUsage

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


class FullImagesRequest(msgspec.Struct):
    """Fields of a request that are translated."""

    prompt: str
    size: str | None = None
    output_format: str | None = None


class MeteredImagesRequest(msgspec.Struct):
    """Number of pictures that are asked for, in JSON or in a form."""

    n: int | None = None


class MeteredImages(msgspec.Struct):
    """Fields of an answer, or of an event, that are metered; the others are passed over."""

    type: str = ""
    """Type of an event."""
    data: list[msgspec.Raw] | None = None
    """Pictures of a whole answer."""
    usage: InputUsage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    quality: str | None = None
    size: str | None = None
