"""Answers put through a translation as a gateway does it: read by the target's reader, then put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import Nothing
from inferworks.cloud.routing.token_estimate import whole_usage
from inferworks.cloud.serving.translating import _Rest
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.usage_parsers.anthropic import MessagesReader
from inferworks.cloud.usage_parsers.base import Reader
from inferworks.cloud.usage_parsers.converse import ConverseReader
from inferworks.cloud.usage_parsers.openai import ChatReader
from inferworks.cloud.usage_parsers.stability import StableImageReader

_READERS: dict[Operation, Callable[[Call], Reader]] = {
    Operation.CHAT: ChatReader,
    Operation.MESSAGES: MessagesReader,
    Operation.CONVERSE: ConverseReader,
    Operation.STABLE_IMAGE: StableImageReader,
}


def put_back(translation: Translation, call: Call, data: bytes) -> bytes:
    """The whole answer `data` to `call`, in its caller's words."""
    chunk = _READERS[translation.target](call).whole(data)
    reported, _ = whole_usage(call, chunk, b"application/json")
    return translation.answer(call, data, reported)


class PutBack:
    """One stream, event by event."""

    def __init__(self, translation: Translation, call: Call) -> None:
        self._reader = _READERS[translation.target](call)
        self._rest = _Rest(Nothing(), call, [translation.stream(call)])

    def event(self, event: bytes) -> bytes:
        """The caller's events for one of the upstream's."""
        return self._rest.put_over(self._reader.event(event)).data

    def events(self, events: Iterable[bytes]) -> bytes:
        """The same for several."""
        return b"".join(map(self.event, events))
