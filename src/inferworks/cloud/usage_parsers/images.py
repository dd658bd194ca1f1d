"""Usage parser of OpenAI's images, whole or in events.

A picture is counted where it is: in the answer. Newer models report tokens as well, the pictures that were
sent in as part of the input and those that were made as part of the output; both are recorded, and a price
is of one or of the other. Their quality and size, by which some charge, are recorded as the upstream
reports them (`service_tier`). Work of another model (`svg_usage`, the author of a drawing in words) is not
counted: its tokens have another price, and a record has one model.

A stream has one finished picture, or as many as were asked for, and ends with the last. The unfinished ones
before cost tokens that are reported only with it: a stream that breaks off there is recorded as the
pictures it was to make, estimated.

Source: https://platform.openai.com/docs/api-reference/images/object, /images-streaming
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.bodies.bounds import check_answer
from inferworks.cloud.bodies.lenient import read_answer
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.usage_parsers.clamped import clamped
from inferworks.cloud.usage_parsers.in_band import is_empty, refusal, tells_an_error
from inferworks.cloud.usage_parsers.request_fields import asked
from inferworks.dialects.openai_images import (
    MeteredImages,
    MeteredImagesRequest,
)
from inferworks.dialects.openai_usage import InputTokenDetails, InputUsage, OutputTokenDetails
from inferworks.errors import UnreadableError
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens

_LONGEST_WORD = 32
_NO_INPUT_DETAILS = InputTokenDetails()
_NO_OUTPUT_DETAILS = OutputTokenDetails()


_read_body = msgspec.json.Decoder(MeteredImages)


class ImagesReader:
    """Reads pictures that were made or edited."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._wanted = 0
        """Number of pictures that a stream is to bring; 0 before its first event."""
        self._made = 0
        self._tokens = NO_TOKENS

    def whole(self, data: bytes) -> Chunk:
        """All pictures at once."""
        answer = _read(data)
        if not answer.data and (not is_empty(answer.error) or tells_an_error(data)):
            raise refusal(data)
        made = Items(images=len(answer.data or ()))
        return Chunk(data, ReportedUsage(_tokens(answer), made, _made_as(answer)), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; all of them pass."""
        data = event_data(event)
        if not data:
            return Chunk(event)  # a comment
        if data == DONE:
            if not self._wanted:
                raise UnreadableError("it has no pictures")
            return Chunk(event, last=True)
        body = _read(data)
        if body.type == "error" or not is_empty(body.error):
            raise refusal(data)
        self._wanted = self._wanted or asked(self._call, MeteredImagesRequest).n or 1
        if not body.type.endswith(".completed"):
            return Chunk(event, self._so_far())
        self._made += 1
        self._tokens += _tokens(body)
        if self._made < self._wanted:
            return Chunk(event, self._so_far())
        reported = ReportedUsage(self._tokens, Items(images=self._made), _made_as(body))
        return Chunk(event, reported, last=True)

    def ended(self) -> Chunk | None:
        """Return None: the last picture ends a stream, which is not whole without it."""
        return None

    def _so_far(self) -> ReportedUsage:
        """Usage amid a stream: the pictures it was to make, and the tokens reported so far."""
        return ReportedUsage(self._tokens, Items(images=self._wanted), is_estimate=True)


def _tokens(made: MeteredImages) -> Tokens:
    """Tokens used; none where they are not reported."""
    return NO_TOKENS if made.usage is None else tokens_of(made.usage)


def _made_as(made: MeteredImages) -> str:
    """Quality and size of the pictures, e.g. `high 1024x1024`; empty where they are not reported."""
    return " ".join(word[:_LONGEST_WORD] for word in (made.quality, made.size) if word)


def tokens_of(usage: InputUsage) -> Tokens:
    """OpenAI's counts as ours; without details all that was put out are pictures."""
    read = usage.input_tokens_details or _NO_INPUT_DETAILS
    made = usage.output_tokens or 0
    drawn = (usage.output_tokens_details or _NO_OUTPUT_DETAILS).image_tokens
    return clamped(
        Tokens(
            usage.input_tokens or 0,
            made,
            cache_read=read.cached_tokens or 0,
            input_image=read.image_tokens or 0,
            output_image=made if drawn is None else drawn,
        )
    )


def _read(data: bytes) -> MeteredImages:
    """Read an answer or an event. UpstreamError when it is unreadable."""
    check_answer(data)
    return read_answer(data, _read_body)
