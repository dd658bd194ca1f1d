"""Names of tools that are too long for an upstream: shortened on the way there, whole on the way back.

Anthropic takes names of 128 characters, OpenAI and Bedrock of 64
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use,
https://platform.openai.com/docs/api-reference/chat/create), and clients write the name of a tool's server
before its own (`mcp__server__tool`). A name that is too long gets the end that is its digest, the same
wherever it stands. Nothing is kept between a request and its answer: the whole name is looked up in the
request.
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.cloud.translate.tool_results import short_id
from inferworks.dialects.anthropic_messages import ToolNames

_LONGEST: Final = 64


_read = msgspec.json.Decoder(ToolNames).decode


def short_name(name: str) -> str:
    """Return the upstream's name of the caller's tool `name`."""
    return short_id(name, _LONGEST)


def whole_name(name: str, body: bytes) -> str:
    """Return the caller's name of the tool that an answer calls `name`, by the request `body`."""
    if len(name) != _LONGEST:  # as long as every name that was shortened
        return name
    tools = _read(body).tools or ()
    return next((tool.name for tool in tools if short_name(tool.name) == name), name)
