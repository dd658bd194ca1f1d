"""A client of OpenAI's images, served by Stability's `stable-image`: one picture from a text.

Only what both can say: a prompt, the shape of the picture, its file format, and the fields that are
Stability's own (`seed`, `negative_prompt`, `style_preset`), which pass. A `size` is its ratio, where that
is one of Stability's; how many pixels there are is up to the model, as Stability knows no sizes. More than
one picture, an address instead of the picture, a quality and a stream are refused.

The picture comes in base64. That it was blurred by the filter is said beside it (`finish_reason`), as is
its seed.

Sources: https://platform.openai.com/docs/api-reference/images/create,
https://platform.stability.ai/docs/api-reference#tag/Generate
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.fields import (
    FieldRules,
    Omissions,
    cannot,
    passed,
    read_answer,
    read_request,
)
from inferworks.cloud.translate.sent_names import SAME_NAMES, SentNames
from inferworks.cloud.usage_parsers.cloud_errors import openai_error
from inferworks.dialects.errors import StabilityRefusal
from inferworks.dialects.openai_images import FullImagesRequest
from inferworks.dialects.stability import Picture
from inferworks.errors import UpstreamError
from inferworks.http.multipart import form_of
from inferworks.meter.reported_usage import ReportedUsage

_RATIOS: Final = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
_RATIO_NAMES: Final = {Fraction(name.replace(":", "/")): name for name in _RATIOS}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_FORMATS: Final = frozenset({"png", "jpeg", "webp"})
_RULES = FieldRules(
    "Stability's API",
    same={"seed", "negative_prompt", "style_preset"},
    translated={"model", "prompt", "size", "output_format"},
    dropped=("user", "safety_identifier"),
    wishes={},
    refused={
        "n": (1,),
        "response_format": ("b64_json",),
        "quality": ("auto", "standard"),
        "background": ("auto", "opaque"),
        "moderation": ("auto",),
        "output_compression": (100,),
        "partial_images": (0,),
        "stream": (False,),
        "style": (),
        "complexity": (),
        "frame_count": (),
        "frame_duration_ms": (),
        "svg": (),
    },
)


_read_body = msgspec.json.Decoder(FullImagesRequest).decode
_read_picture = msgspec.json.Decoder(Picture)
_read_refusal = msgspec.json.Decoder(StabilityRefusal).decode


@dataclass(frozen=True, slots=True)
class ImagesToStability:
    """`images.generations` by way of `stable-image`."""

    source: ClassVar[Operation] = Operation.IMAGES
    target: ClassVar[Operation] = Operation.STABLE_IMAGE
    sent_names: ClassVar[SentNames] = SAME_NAMES

    def ask(self, call: Call) -> Call:
        """`call` as a form. CallError 400 for what Stability cannot do."""
        request = read_request(call.body, _read_body)
        omissions = Omissions(call.lenient)
        own = passed(call.body, _RULES, omissions)
        fields: list[tuple[str, str]] = []
        for name, value in own.items():
            told = read_request(bytes(value), msgspec.json.decode)
            if isinstance(told, dict | list):
                raise cannot(name, "has a value that Stability's forms have no words for", name)
            text = told if isinstance(told, str) else msgspec.json.encode(told).decode()
            fields.append((name, text))
        fields += [("model", call.model), ("prompt", request.prompt)]
        if request.size is not None and request.size != "auto":
            size = _SIZE.fullmatch(request.size)
            ratio = size and _RATIO_NAMES.get(Fraction(int(size[1]), int(size[2])))
            if ratio is None:
                why = f"must have one of the ratios {', '.join(_RATIOS)}, or be auto"
                raise cannot("size", why, "size")
            fields.append(("aspect_ratio", ratio))
        if request.output_format is not None:
            if request.output_format not in _FORMATS:
                why = f"must be one of {', '.join(sorted(_FORMATS))}"
                raise cannot("output_format", why, "output_format")
            fields.append(("output_format", request.output_format))
        boundary = f"inferworks-{call.id}".encode()
        return msgspec.structs.replace(
            call,
            operation=self.target,
            body=form_of(fields, boundary),
            content_type=b"multipart/form-data; boundary=" + boundary,
            headers=((b"accept", b"application/json"),),
            left_out=(*call.left_out, *omissions.names),
        )

    def answer(self, _call: Call, data: bytes, _told: ReportedUsage) -> bytes:
        """A picture in JSON as OpenAI's."""
        picture = read_answer(data, _read_picture)
        image = {
            "b64_json": picture.image,
            "finish_reason": picture.finish_reason,
            "seed": picture.seed,
        }
        return msgspec.json.encode({"created": 0, "data": [image]})

    def refusal(self, status: int, data: bytes) -> bytes:
        """Stability's error body as OpenAI's; an unreadable one keeps its status alone."""
        try:
            told = _read_refusal(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = StabilityRefusal()
        words = "; ".join(told.errors) or f"The upstream answered with status {status}."
        return openai_error(status, words, told.name)

    def stream(self, _call: Call) -> _NoStream:
        """Return a translation of no stream; `ask` refuses streams before."""
        return _NoStream()


class _NoStream:
    def event(self, _event: bytes, _told: ReportedUsage | None) -> bytes:
        """Raise UpstreamError: these answers are not streamed."""
        raise UpstreamError("this kind of answer is not streamed", sent=True)
