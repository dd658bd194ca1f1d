"""OpenAI's list of models.

Source: https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Model(msgspec.Struct, frozen=True):
    """A model, as we list it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "inferworks"


class Models(msgspec.Struct, frozen=True):
    """The list, as we write it."""

    object: Literal["list"]
    data: list[Model]


class ListedModel(msgspec.Struct, frozen=True):
    """A model as any engine lists it: few say who owns it, and some when in a way of their own."""

    id: str
    owned_by: str = ""


class ListedModels(msgspec.Struct, frozen=True):
    """The list of any engine."""

    data: tuple[ListedModel, ...]
