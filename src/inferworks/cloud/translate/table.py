"""Every translation there is; a provider is wrapped with the ones that lead to what it speaks."""

from __future__ import annotations

from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.cloud.translate.images_to_stability import ImagesToStability
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat

TRANSLATIONS: tuple[Translation, ...] = (
    MessagesToChat(),
    ChatToMessages(),
    ResponsesToChat(),
    CompletionsToChat(),
    ChatToConverse(),
    ImagesToStability(),
)
"""In the order in which ways of the same length are preferred."""
