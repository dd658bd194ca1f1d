"""Running usage of a stream: as its upstream reports it, or estimated from its events."""

from __future__ import annotations

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.routing.token_estimate import prompt_tokens, stream_tokens
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import NO_ITEMS, Confidence, Tokens


class StreamUsage:
    """Usage of a stream so far, also reported to the call's recorder."""

    def __init__(self, call: Call, recorder: CallRecorder) -> None:
        self.reported = NOTHING_REPORTED
        self._call = call
        self._recorder = recorder
        self._events = 0
        self._prompt: int | None = None
        self._is_reported = False

    def see(self, chunk: Chunk) -> None:
        """Take in one chunk."""
        reported = chunk.told
        if reported is not None and not reported.is_input_only:
            self._is_reported = True
            self.reported = reported
        elif not self._is_reported:
            if reported is not None:
                self._prompt = reported.tokens.input
            self._events += stream_tokens(chunk.data)
            self.reported = ReportedUsage(self._guess())
        if (
            self.reported.tokens.output or self.reported.items is not NO_ITEMS
        ):  # sound has no tokens
            self._recorder.first_token()
        self._recorder.progress(self.reported, self.confidence(whole=False))

    def see_last(self, chunk: Chunk) -> None:
        """Take in the last chunk, which in some dialects reports the total."""
        self.see_reported(chunk.told)

    def see_reported(self, reported: ReportedUsage | None) -> None:
        """Take in the usage that the end of the stream, or its failure, reported."""
        if reported is not None:
            self._is_reported = True
            self.reported = reported

    def confidence(self, *, whole: bool) -> Confidence:
        """Return the confidence of the count; `whole` when the stream has come to its end."""
        if not self._is_reported:
            return Confidence.ESTIMATED
        return self.reported.confidence(whole=whole)

    def _guess(self) -> Tokens:
        if self._prompt is None:
            self._prompt = prompt_tokens(self._call)
        return Tokens(self._prompt, self._events)
