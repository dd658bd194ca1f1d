"""Usage parser of Stability's pictures: each answer is one, and is charged for as one.

One that the filter has blurred (`CONTENT_FILTERED`) is an answer too. Asked for `image/*` the body is the
picture; asked for `application/json` it holds the picture in base64.

Source: https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

from inferworks.cloud.bodies.lenient import fitted_or_unreadable
from inferworks.cloud.call import Call, Chunk
from inferworks.dialects.stability import MeteredPicture
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items

_ONE_IMAGE = ReportedUsage(NO_TOKENS, Items(images=1))


class StableImageReader:
    """Reads one picture."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """The picture, as bytes or in JSON."""
        if data.startswith(b"{"):  # no picture begins so
            image = fitted_or_unreadable(data, MeteredPicture).image
            if not image or not isinstance(image, str):
                raise UpstreamError("the answer has no picture", sent=True)
        elif not data:
            raise UpstreamError("the answer is empty", sent=True)
        return Chunk(data, _ONE_IMAGE, last=True)

    def event(self, event: bytes) -> Chunk:
        """Raise UpstreamError: this answer is never streamed."""
        raise UpstreamError("this kind of answer is not streamed", sent=True)

    def ended(self) -> Chunk | None:
        """Return None: this answer is never streamed."""
        return None
