"""Stability's `stable-image`: the form that asks for a picture, and the picture in JSON.

Source: https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta


class StableImageFields(msgspec.Struct, gc=False):
    """The fields of a `stable-image` form that we check."""

    prompt: Annotated[str, Meta(min_length=1, max_length=10_000)]
    model: Annotated[str, Meta(min_length=1, max_length=256)] = "sd3.5-large"


class Picture(msgspec.Struct):
    """A picture in base64, as it is translated."""

    needed: ClassVar = frozenset({"image"})
    image: str = ""
    finish_reason: str = "SUCCESS"
    seed: int | None = None


class MeteredPicture(msgspec.Struct):
    """The same as it is counted: there is one, or the answer is none, whatever `image` holds."""

    image: Any = ""
