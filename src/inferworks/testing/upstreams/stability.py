"""Stability's `stable-image` as a fake upstream makes it, with requests checked as strictly.

Source: https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.forms import read_form
from inferworks.testing.upstreams.images import PICTURE
from inferworks.testing.upstreams.script import Answer, Body, Wire, Written

SEED = 343940597
_ACCEPTED = frozenset({"image/*", "application/json", "*/*"})
_RATIOS = frozenset({"16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"})
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "prompt: cannot be blank"),
    401: ("unauthorized", "authorization: invalid or missing header value"),
    403: ("content_moderation", "Your request was flagged by our content moderation system."),
    404: ("not_found", "The specified engine was not found."),
    429: ("rate_limit_exceeded", "You have exceeded the rate limit of 150 requests in 10 seconds."),
    500: ("internal_error", "An unexpected server error has occurred, please try again later."),
}
"""Status -> name and message of Stability's error body."""


def error_of(status: int) -> bytes:
    """Stability's error body for `status`."""
    name, message = _ERRORS.get(status, ("internal_error", f"status {status}"))
    return json.dumps(
        {"id": "a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4", "name": name, "errors": [message]}
    ).encode()


def _reason(answer: Answer) -> str:
    """Return the reason for the end; a picture without words is one that the filter has blurred."""
    return "SUCCESS" if answer.words else "CONTENT_FILTERED"


class _StableImage(Wire):
    def read(self, exchange: Exchange) -> Body | None:
        """Parse the form and the accepted type; None where the real API would refuse."""
        request = read_form(exchange)
        accepted = exchange.headers.get(b"accept", b"image/*").decode()
        if request is None or accepted not in _ACCEPTED or not request.get("prompt"):
            return None
        if request.get("aspect_ratio", "1:1") not in _RATIOS:
            return None
        return {**request, "accept": accepted}

    def whole(self, answer: Answer, request: Body) -> Body:
        reason = _reason(answer)
        return {"image": base64.b64encode(PICTURE).decode(), "finish_reason": reason, "seed": SEED}

    def written(self, answer: Answer, request: Body) -> Written | None:
        if request["accept"] == "application/json":
            return None
        headers = ((b"finish-reason", _reason(answer).encode()), (b"seed", b"%d" % SEED))
        kind = b"image/" + request.get("output_format", "png").encode()
        return Written(kind, (PICTURE,), headers)

    def error_of(self, status: int) -> bytes:
        return error_of(status)


STABLE_IMAGE = _StableImage()
