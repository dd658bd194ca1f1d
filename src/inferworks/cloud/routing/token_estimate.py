"""Token estimate of a call whose usage is not reported: a silent upstream, or an answer left early.

An estimate is recorded as one (`Confidence.ESTIMATED`). It counts words and nothing else. The JSON around
them was written by no model: two letters are a token, whatever envelope they come in, and log probabilities
are none. So of a request or an answer the texts in it are counted, of a tool also the names in its schema,
which a model reads too; of an answer's end one token more, as every engine counts it.

An image or a sound has the tokens that the provider says it has, and an estimate from its bytes would
charge a photograph as a novel. So an image is assumed to be of a common size: else a client that leaves
before the usage is reported would have images for nothing. Sounds are left out. Media stand in JSON as
base64, and no text goes on for so long without a space or a sign. So pieces are examined, all alike and
each by itself: one of nothing but base64's letters is no text. Of a large body, whose envelope is small
beside its contents, only a thousand pieces are, evenly spread, since an estimate is made amid a stream and
must take no time.

Of a stream an event is a token at least, as nearly every upstream sends them; where the words of all its
events are more than four bytes an event, as of an upstream that sends several tokens in each, they count as
those of a whole answer do. Both are kept as sums, so that a token longer than four bytes is not two.
Rejected: rounding each event by itself, which counts English text that comes token by token an eighth too
high; a reading of long events alone, by which an upstream that gathers its tokens passes every limit.

Rejected: a search for the words that stand beside media and for runs of letters after them; it went over
every word as often as the word had letters.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.cloud.bodies.aside import LARGE_BYTES
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_chat import WrittenEvent
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Confidence, Tokens

_BYTES_PER_TOKEN = 4
"""Bytes per token of English text, by rule of thumb."""
_TOKENS_PER_PICTURE: Final = 765
"""A picture of 1024 by 1024 at high detail: 85 and 170 for each of 4 tiles.

Source: https://platform.openai.com/docs/guides/images-vision#calculating-costs, of GPT-4o and its like.
Anthropic's of that size is some 1,400 (width x height / 750), Gemini's 258 for each of 4 tiles.
"""
_PICTURES: Final = {
    Operation.CHAT: ("image_url", 2),
    Operation.MESSAGES: ("image", 1),
    Operation.RESPONSES: ("input_image", 1),
}
"""The type of a part that is a picture, and how often its name stands in quotes there."""
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_=-"
_PIECE_BYTES: Final = 128
_MOST_PIECES: Final = 1024
_BYTES_PER_HEARD_TOKEN: Final = 20
"""Bytes per token of sound: 32 tokens a second, at 6 kbit/s."""
_ENVELOPE_TOKENS: Final = 1024
"""Tokens that a template may add around the messages of a chat."""
_SMALL_TEXT_BYTES: Final = 2048
"""A smaller text is no medium to speak of."""
_SMALL_BYTES: Final = 16 * 1024
"""Size below which a body is read whole: that takes microseconds, and the envelope may be most of it."""
_ASKED: Final = frozenset(
    {"messages", "system", "input", "instructions", "prompt", "query", "documents", "texts"}
)
"""Fields of a request of any dialect that hold its words."""
_SCHEMAS: Final = frozenset({"tools", "functions", "toolConfig", "response_format", "text"})
"""Fields of a request whose values a model reads as JSON."""
_WRITTEN: Final = frozenset({"choices", "content", "output", "delta", "contentBlockDelta"})
"""Fields of an answer or an event of any dialect that hold the words of the model."""
_WRITES: Final = frozenset(
    {Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES, Operation.RESPONSES, Operation.CONVERSE}
)  # fmt: skip
"""Operations that are answered in words."""
_NO_WORDS: Final = frozenset(
    {"logprobs", "id", "call_id", "tool_call_id", "tool_use_id", "toolUseId", "type", "role", "status",
     "object", "contentBlockIndex", "finish_reason", "stop_reason", "cache_control", "signature",
     "encrypted_content", "usage"}
)  # fmt: skip
"""Fields that hold no words of the model."""


def prompt_tokens(call: Call) -> int:
    """A guess at the tokens of the prompt of `call`; 0 when it is no text."""
    body = call.body
    if b"json" not in call.content_type.lower():
        return 0
    kind, times = _PICTURES.get(call.operation, ("", 1))
    if len(body) >= _SMALL_BYTES or (fields := _fields(body)) is None:
        pictures = body.count(b'"%b"' % kind.encode()) // times if kind else 0
        return _tokens(body) + pictures * _TOKENS_PER_PICTURE
    words = _words_in(fields, _ASKED)
    schemas = sum(len(msgspec.json.encode(fields[name])) for name in _SCHEMAS & fields.keys())
    pictures = _pictures_in([fields[name] for name in fields if name in _ASKED], kind)
    return _as_tokens(words + schemas) + pictures * _TOKENS_PER_PICTURE


def most_prompt_tokens(call: Call) -> int:
    """Return a bound on the tokens of the prompt of `call`: a token of text has a byte at least.

    Nothing bounds what lies behind a URL. A picture is taken for four of a common size, and a sound that
    comes as a file for one of the lowest rate that carries speech.
    """
    size = len(call.body)
    if b"json" not in call.content_type.lower():
        return size // _BYTES_PER_HEARD_TOKEN + _ENVELOPE_TOKENS
    if size < _SMALL_BYTES and b'"image' not in call.body and b'"input_image' not in call.body:
        return size
    return min(size, _BYTES_PER_TOKEN * prompt_tokens(call) + _ENVELOPE_TOKENS)


def whole_usage(call: Call, answer: Chunk, content_type: bytes) -> tuple[ReportedUsage, Confidence]:
    """Return the usage of a whole answer to `call`, reported or estimated, with its confidence."""
    reported = answer.reported
    if reported is not None:
        return reported, reported.confidence(whole=True)
    output = answer_tokens(call, answer.data) if b"json" in content_type.lower() else 0
    return ReportedUsage(
        Tokens(prompt_tokens(call), output), is_estimate=True
    ), Confidence.ESTIMATED


def answer_tokens(call: Call, data: bytes) -> int:
    """A guess at the tokens that were written for the whole answer `data` to `call`."""
    if call.operation not in _WRITES:
        return 0  # vectors, ranks and pictures are not written in tokens
    if len(data) > LARGE_BYTES:
        return _tokens(data)
    fields = _fields(data)
    words = 0 if fields is None else _words_in(fields, _WRITTEN)
    return _as_tokens(words) + 1 if words else 0


class Sides(NamedTuple):
    """Input and output of an answer that told of one of them."""

    sent: int
    made: int
    is_guess: bool


def sides(
    call: Call, sent: int | None, made: int | None, total: int | None, written: int | None
) -> Sides | None:
    """Both sides, of what was told: what the total leaves, else a guess.

    `written` is a guess at the output where there is one. None where too little was told.
    """
    if sent is None and made is None:
        if total is None or written is None:
            return None
        made = min(written, total)
        return Sides(total - made, made, is_guess=True)
    if total is not None:
        rest = max(0, total - (sent or made or 0))
        return Sides(rest if sent is None else sent, rest if made is None else made, is_guess=False)
    if made is None and written is None:
        return None
    sent = prompt_tokens(call) if sent is None else sent
    return Sides(sent, (written or 0) if made is None else made, is_guess=True)


class StreamTokens:
    """A guess at the tokens that were written for a stream so far."""

    __slots__ = ("_bytes", "_events", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        """Tokens so far."""
        self._events = self._bytes = 0
        """Events that hold data, and bytes of the words in them."""

    def see(self, events: bytes) -> int:
        """Take in one or more `events` of any dialect, and return the tokens so far; comments are none."""
        end = events.find(b"\n")
        if end > 0 and events.startswith(b"data:") and events.find(b"\ndata:", end) < 0:
            return self._add(1, _event_bytes(events[5:end]))  # one event, as most come
        lines = [line[5:] for line in events.split(b"\n") if line.startswith(b"data:")]
        return self._add(len(lines), sum(map(_event_bytes, lines)))

    def see_text(self, text: str) -> int:
        """Take in the words of one event, and return the tokens so far."""
        return self._add(1, _bytes_of(text))

    def _add(self, events: int, text_bytes: int) -> int:
        self._events += events
        self._bytes += text_bytes
        self.tokens = max(self._events, self._bytes // _BYTES_PER_TOKEN)
        return self.tokens


def _event_bytes(data: bytes) -> int:
    """Count the bytes of words in the `data` of one event of a stream."""
    if len(data) > _SMALL_BYTES:
        return _text_bytes(data)
    try:
        choices = _read_chat(data).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        choices = None
    if choices is None:  # of another dialect, or with words in another place
        fields = _fields(data)
        return 0 if fields is None else _words_in(fields, _WRITTEN)
    count = 0
    for choice in choices:
        delta = choice.delta
        text = choice.text if delta is None else delta.content
        if text:
            count += _bytes_of(text)
        if delta is not None and delta.says_more:
            count += sum(map(_bytes_of, delta.others()))
    return count


def _fields(data: bytes) -> dict[str, Any] | None:
    """The fields of a JSON object; None when it is none."""
    try:
        return _read(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_read = msgspec.json.Decoder(dict[str, Any]).decode
_read_chat = msgspec.json.Decoder(WrittenEvent).decode


def _words_in(fields: dict[str, Any], names: Collection[str]) -> int:
    """Count the bytes of words in the values of `names`, whatever they lie in, less what is media.

    Numbers stand for their digits.
    """
    count = 0
    left = [fields[name] for name in fields if name in names]
    while left:
        value = left.pop()
        kind = type(value)  # of what was decoded: there may be hundreds of thousands
        if kind is str:
            count += _bytes_of(value)
        elif kind is dict:
            left += [inner for name, inner in value.items() if name not in _NO_WORDS]
        elif kind is list:
            left += value if not value or not isinstance(value[0], float) else []
        elif kind is int or kind is float:
            count += len(str(value))
    return count


def _pictures_in(values: list[Any], kind: str) -> int:
    """Count the parts of the type `kind` in `values`."""
    found, left = 0, values
    while left:
        value = left.pop()
        if isinstance(value, dict):
            found += bool(kind) and value.get("type") == kind
            left += value.values()
        elif isinstance(value, list):
            left += value if not value or not isinstance(value[0], float) else []
    return found


def _bytes_of(text: str) -> int:
    """Count the bytes of `text`, less what is media."""
    if len(text) < _SMALL_TEXT_BYTES and text.isascii():
        return len(text)
    data = text.encode(errors="replace")
    return len(data) if len(data) < _SMALL_TEXT_BYTES else _text_bytes(data)


def _as_tokens(text_bytes: int) -> int:
    return -(-text_bytes // _BYTES_PER_TOKEN)


def _tokens(data: bytes) -> int:
    return _text_bytes(data) // _BYTES_PER_TOKEN


def _text_bytes(data: bytes) -> int:
    """Count the bytes of `data` that are text, by some of its pieces where it is large."""
    pieces = len(data) // _PIECE_BYTES
    step = max(1, -(-pieces // _MOST_PIECES))
    starts = range(0, pieces * _PIECE_BYTES, step * _PIECE_BYTES)
    media = sum(not data[at : at + _PIECE_BYTES].strip(_LETTERS) for at in starts)
    return max(0, len(data) - media * step * _PIECE_BYTES)
