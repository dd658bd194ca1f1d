"""Words of Bedrock's Converse and what they are in OpenAI's: stop reasons, tiers, media types.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from inferworks.dialects.finish_reasons import as_called

FINISH_REASONS: Final = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "malformed_model_output": "stop",
        "malformed_tool_use": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "content_filtered": "content_filter",
        "guardrail_intervened": "content_filter",
    }
)
"""Converse's stop reason -> OpenAI's finish reason."""

TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})
"""Service tiers of both, by the same names; `auto` is to say nothing."""

IMAGE_FORMATS: Final = MappingProxyType(
    {
        "image/gif": "gif",
        "image/jpeg": "jpeg",
        "image/jpg": "jpeg",
        "image/png": "png",
        "image/webp": "webp",
    }
)
"""Media type -> format of an image."""

DOCUMENT_FORMATS: Final = MappingProxyType(
    {
        "application/msword": "doc",
        "application/pdf": "pdf",
        "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "text/csv": "csv",
        "text/html": "html",
        "text/markdown": "md",
        "text/plain": "txt",
    }
)
"""Media type -> format of a document."""


def finish_reason(stop_reason: str, *, calls_tools: bool) -> str:
    """OpenAI's finish reason for Converse's stop reason, also for one that is newer than this."""
    return as_called(FINISH_REASONS.get(stop_reason, "stop"), calls_tools=calls_tools)
