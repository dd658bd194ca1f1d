"""Running usage of a stream: as its upstream reports it, or estimated from what passes."""

from __future__ import annotations

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.routing.token_estimate import StreamTokens, prompt_tokens
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import Confidence, Tokens


class StreamUsage:
    """Usage of a stream so far."""

    __slots__ = (
        "_call",
        "_input_tokens",
        "_is_reported",
        "_output",
        "confidence",
        "reported",
    )

    def __init__(self, call: Call) -> None:
        self.reported = NOTHING_REPORTED
        """Usage so far, reported or estimated."""
        self.confidence = Confidence.ESTIMATED
        """Confidence in it while the stream goes on."""
        self._call = call
        self._input_tokens: int | None = None
        self._output = StreamTokens()
        """Estimates, where nothing is reported."""
        self._is_reported = False

    def see(self, chunk: Chunk) -> None:
        """Take in one chunk."""
        reported = chunk.reported
        if reported is not None and not reported.is_input_only:
            self.see_reported(reported)
        elif not self._is_reported:
            if reported is not None:
                self._input_tokens = reported.tokens.input
            elif self._input_tokens is None:
                self._input_tokens = prompt_tokens(self._call)
            output = self._output.see(chunk.data)
            self.reported = ReportedUsage(Tokens(self._input_tokens, output))

    def see_reported(self, reported: ReportedUsage | None) -> None:
        """Take in the usage that the last chunk reported, or the failure of the stream."""
        if reported is not None:
            self._is_reported = True
            self.reported = reported
            self.confidence = reported.confidence(whole=False)

    def confidence_at_end(self) -> Confidence:
        """Return the confidence in it when the stream has come to its end."""
        if not self._is_reported:
            return Confidence.ESTIMATED
        return self.reported.confidence(whole=True)
