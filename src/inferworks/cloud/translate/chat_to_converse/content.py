"""The content of a chat's messages as blocks of Bedrock's Converse.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from inferworks.cloud.translate.chat_tools import past_call
from inferworks.cloud.translate.fields import Fields, cannot, read_request, set_if
from inferworks.cloud.translate.tool_results import CallIds
from inferworks.dialects.anthropic_messages import CacheControl
from inferworks.dialects.bedrock_converse import DOCUMENT_FORMATS, IMAGE_FORMATS
from inferworks.dialects.openai_chat import FullMessage, SentThinkingBlock

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+/-]+")
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+")
"""Characters that a document's name may not hold: dots, lines, two spaces."""
_SERVES: Final = "Bedrock's Converse, which serves this model"


_read_cache_control = msgspec.json.Decoder(CacheControl).decode
_read_thought = msgspec.json.Decoder(SentThinkingBlock).decode


def blocks_of(message: FullMessage, where: str) -> list[Fields]:
    """The content of `message`; each part that asks for it is followed by a mark for the cache."""
    blocks: list[Fields] = []
    for part in message.parts:
        match part.type:
            case "text" | "refusal":
                text = part.text or part.refusal
                blocks += [{"text": text}] if text.strip() else []
            case "image_url" if part.image_url:
                media_type, source = _given(part.image_url.url, where, "an image")
                if media_type not in IMAGE_FORMATS:
                    known = ", ".join(sorted(set(IMAGE_FORMATS.values())))
                    why = f"has an image that is none of {known}, which {_SERVES}, knows"
                    raise cannot(where, why, where)
                blocks.append({"image": {"format": IMAGE_FORMATS[media_type], "source": source}})
            case "file" if part.file and part.file.file_data:
                media_type, source = _given(part.file.file_data, where, "a file")
                if media_type not in DOCUMENT_FORMATS:
                    why = f"has a file ({media_type}) that is not known to {_SERVES}"
                    raise cannot(where, why, where)
                given_name = part.file.filename or ""
                stem = given_name.rpartition(".")[0] or given_name
                name = _NO_NAME.sub(" ", stem).strip()[:200] or "document"
                kind = DOCUMENT_FORMATS[media_type]
                blocks.append({"document": {"format": kind, "name": name, "source": source}})
            case other:
                why = f"has a part ({other[:60]}) that is not known to {_SERVES}"
                raise cannot(where, why, where)
        blocks += cache_point(part.cache_control)
    return blocks


def assistant_blocks(message: FullMessage, ids: CallIds, where: str) -> list[Fields]:
    """Return the blocks of an assistant's message: thoughts (if signed), text and tool calls."""
    blocks: list[Fields] = []
    for signed in message.signed_thoughts:
        thought = read_request(msgspec.json.encode(signed), _read_thought)
        if thought.type == "redacted_thinking":
            blocks.append({"reasoningContent": {"redactedContent": thought.data}})
        else:
            text = {"text": thought.thinking, "signature": thought.signature}
            blocks.append({"reasoningContent": {"reasoningText": text}})
    blocks += blocks_of(message, where)
    if message.refusal:
        blocks.append({"text": message.refusal})
    for call in message.tool_calls or ():
        name, given = past_call(call, f"{where}.tool_calls", _SERVES)
        use = {"toolUseId": ids.called(call.id), "name": name, "input": given}
        blocks.append({"toolUse": use})
    return blocks


def tool_result(message: FullMessage, ids: CallIds, where: str) -> Fields:
    """Return the block of a tool's result."""
    content = blocks_of(message, where) or [{"text": " "}]  # Bedrock wants one that is not empty
    call_id = ids.answered(message.tool_call_id)
    return {"toolResult": {"toolUseId": call_id, "content": content}}


def cache_point(cache_control: msgspec.Raw) -> list[Fields]:
    """The mark that ends what is cached, for Anthropic's `cache_control` on what stands before it."""
    if bytes(cache_control) in {b"", b"null"}:
        return []
    point: Fields = {"type": "default"}
    set_if(point, "ttl", read_request(cache_control, _read_cache_control).ttl)
    return [{"cachePoint": point}]


def _given(url: str, where: str, what: str) -> tuple[str, Fields]:
    """The media type of a data URL, and what it holds as a source."""
    head, _, data = url.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    is_data = head.startswith("data:") and head.endswith(";base64")
    if not (is_data and data and _MEDIA_TYPE.fullmatch(media_type)):
        why = f"has {what} that is not in the request; {_SERVES}, fetches none: write a data URL"
        raise cannot(where, why, where)
    return media_type, {"bytes": data}
