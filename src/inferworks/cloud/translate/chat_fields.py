"""Fields of a chat by their treatment in a translation, the same for every vendor that is asked instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

UNHEEDED: Final = frozenset(
    {
        "metadata", "prediction", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "store", "stream_options",
    }
)  # fmt: skip
"""Fields that no answer depends on."""
WISHES: Final[Mapping[str, tuple[Any, ...]]] = {
    "seed": (),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Fields of OpenAI's alone that promise nothing, or offer something -> the values that ask for nothing."""
OPENAI_ALONE: Final[Mapping[str, tuple[Any, ...]]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "presence_penalty": (0,),
    "top_logprobs": (0,),
}
"""Fields that other vendors' APIs have nothing for -> the values that ask for nothing."""
