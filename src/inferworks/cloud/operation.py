"""Operations of the dialects.

A dialect is the form in which a vendor writes its requests and answers. One kind of request has several: a
chat is `chat.completions` to OpenAI's clients, `messages` to Anthropic's, `converse` to Bedrock. A call
keeps the operation it came in as; where it is served by an upstream that speaks another, `translate`
converts it.
"""

from __future__ import annotations

from enum import StrEnum


class Dialect(StrEnum):
    """Form of requests and answers."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    STABILITY = "stability"


class Operation(StrEnum):
    """Operation that a call asks for; the value is the `endpoint` of its Usage."""

    CHAT = "chat.completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    INPUT_TOKENS = "responses.input_tokens"
    IMAGES = "images.generations"
    IMAGE_EDITS = "images.edits"
    SPEECH = "audio.speech"
    TRANSCRIPTIONS = "audio.transcriptions"
    TRANSLATIONS = "audio.translations"
    MODERATIONS = "moderations"
    RERANK = "rerank"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages.count_tokens"
    STABLE_IMAGE = "stable-image"
    CONVERSE = "converse"
    """Bedrock's; only ever an upstream's."""

    @property
    def dialect(self) -> Dialect:
        """Dialect of the operation."""
        return _DIALECTS.get(self, Dialect.OPENAI)


_DIALECTS = {
    Operation.MESSAGES: Dialect.ANTHROPIC,
    Operation.COUNT_TOKENS: Dialect.ANTHROPIC,
    Operation.STABLE_IMAGE: Dialect.STABILITY,
    Operation.CONVERSE: Dialect.BEDROCK,
}
