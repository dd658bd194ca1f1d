"""OpenTelemetry's words for what we call otherwise.

The conventions for generative AI give well-known values for operations and providers; what they have no
value for keeps our own name, as they ask for.

Source: https://github.com/open-telemetry/semantic-conventions-genai (status: development)
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final = {
    "chat.completions": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "images.generations": "generate_content",
    "images.edits": "generate_content",
    "stable-image": "generate_content",
    "audio.speech": "generate_content",
}
"""The operation of a call -> `gen_ai.operation.name`."""

PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
    "x-ai": "x_ai",
    "aws": "aws.bedrock",
}
"""Seller -> `gen_ai.provider.name`, where that is another word."""


def operation_name(operation: str) -> str:
    """`gen_ai.operation.name` of an operation of ours."""
    return OPERATIONS.get(operation, operation)


def provider_name(provider: str) -> str:
    """`gen_ai.provider.name` of a provider of ours."""
    return PROVIDERS.get(provider, provider)
