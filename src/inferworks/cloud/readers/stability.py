"""What Stability's pictures tell: each answer is one, and is charged for as one.

One that the filter has blurred (`CONTENT_FILTERED`) is an answer too. Asked for `image/*` the body is the
picture; asked for `application/json` it holds the picture in base64.

Source: https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.call import Call, Chunk, Told
from inferworks.errors import UpstreamError
from inferworks.meter.usage import NO_TOKENS, Items

_ONE_IMAGE = Told(NO_TOKENS, Items(images=1))


class _Answer(msgspec.Struct):
    image: str = ""


_read = msgspec.json.Decoder(_Answer).decode


class StableImageReader:
    """Reads one picture."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """The picture, as bytes or in JSON."""
        if data.startswith(b"{"):  # no picture begins so
            _check(data)
        elif not data:
            raise UpstreamError("the answer is empty", sent=True)
        return Chunk(data, _ONE_IMAGE, last=True)

    def event(self, event: bytes) -> Chunk:
        """There are no streams of it."""
        raise UpstreamError("this kind of answer is not streamed", sent=True)


def _check(data: bytes) -> None:
    """UpstreamError when the JSON in `data` has no picture."""
    try:
        image = _read(data).image
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error
    if not image:
        raise UpstreamError("the answer has no picture", sent=True)
