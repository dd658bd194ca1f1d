"""OpenAI's moderations. An answer is metered as one of embeddings is.

Source: https://platform.openai.com/docs/api-reference/moderations/create
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ModerationsRequest(msgspec.Struct, gc=False):
    """The parameters of `moderations` that we check."""

    input: str | Annotated[list[str | dict[str, msgspec.Raw]], Meta(min_length=1)]
    """A text, texts, or parts that are texts and images."""
    model: Annotated[str, Meta(min_length=1, max_length=256)] = "omni-moderation-latest"
