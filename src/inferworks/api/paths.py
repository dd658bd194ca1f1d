"""Paths of other houses: what they mean here, and what a path that means nothing may have been meant for.

    /openai/deployments/NAME/chat/completions?api-version=...   Azure's: the model is named by the path
    /openai/v1/..., /openai/...                                 Azure's and Groq's, path for path OpenAI's
    /anthropic/v1/...                                           Azure's, path for path Anthropic's

The version of an API that an address names says nothing here: there is one.

Sources: https://learn.microsoft.com/azure/ai-foundry/openai/reference,
https://console.groq.com/docs/openai
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

_DEPLOYMENTS: Final = "/openai/deployments/"
_PREFIXES: Final = {"/openai/v1/": "/v1/", "/openai/": "/v1/", "/anthropic/v1/": "/v1/"}
"""The longer first."""
_SLASHES: Final = re.compile("//+")


def meant_by(path: str, forms: Collection[str]) -> tuple[str, str] | None:
    """Our name of `path`, and the model that it names (empty: none); None when it means nothing here.

    `forms` are the paths at which calls are made.
    """
    if path.startswith(_DEPLOYMENTS):
        named = path.removeprefix(_DEPLOYMENTS)
        for form in sorted(forms, key=len, reverse=True):
            model = named.removesuffix(form.removeprefix("/v1"))
            if form.startswith("/v1/") and model not in ("", named) and model[0] != "/":
                return form, unquote(model)
        return None
    for theirs, ours in _PREFIXES.items():
        if path.startswith(theirs):
            return ours + path.removeprefix(theirs), ""
    return None


def near(path: str, known: Collection[str]) -> str | None:
    """The one of the `known` paths that `path` was probably meant for: a base URL is easily given wrong.

    It has a slash or `/v1` too many or lacks it, or stands before the whole path once more.
    """
    plain = _SLASHES.sub("/", path).rstrip("/")
    for candidate in (plain, f"/v1{plain}"):
        if candidate in known:
            return candidate
    behind = [one for one in known if plain.endswith(one)]
    return max(behind, key=len, default=None)
