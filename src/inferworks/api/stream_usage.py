"""Running usage of a stream: as its upstream reports it, or estimated from its events."""

from __future__ import annotations

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.routing.token_estimate import prompt_tokens, stream_tokens
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import NO_ITEMS, Confidence, Tokens


class StreamUsage:
    """Usage of a stream so far, also reported to the call's recorder."""

    def __init__(self, call: Call, tally: CallRecorder) -> None:
        self.told = NOTHING_REPORTED
        self._call = call
        self._tally = tally
        self._events = 0
        self._prompt: int | None = None
        self._is_told = False

    def see(self, chunk: Chunk) -> None:
        """Take in one chunk."""
        told = chunk.told
        if told is not None and not told.is_input_only:
            self._is_told = True
            self.told = told
        elif not self._is_told:
            if told is not None:
                self._prompt = told.tokens.input
            self._events += stream_tokens(chunk.data)
            self.told = ReportedUsage(self._guess())
        if self.told.tokens.output or self.told.items is not NO_ITEMS:  # sound has no tokens
            self._tally.first_token()
        self._tally.progress(self.told, self.confidence(whole=False))

    def see_last(self, chunk: Chunk) -> None:
        """Take in the last chunk, which in some dialects reports the total."""
        self.see_told(chunk.told)

    def see_told(self, told: ReportedUsage | None) -> None:
        """Take in the usage that the end of the stream, or its failure, reported."""
        if told is not None:
            self._is_told = True
            self.told = told

    def confidence(self, *, whole: bool) -> Confidence:
        """Return the confidence of the count; `whole` when the stream has come to its end."""
        if not self._is_told:
            return Confidence.ESTIMATED
        return self.told.confidence(whole=whole)

    def _guess(self) -> Tokens:
        if self._prompt is None:
            self._prompt = prompt_tokens(self._call)
        return Tokens(self._prompt, self._events)
