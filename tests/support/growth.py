"""Check that work grows no faster than the size of its input from outside.

    for filling in TEXTS:
        check_growth(filling.of, parse, filling.name)

Problem. A search that goes back over white space, a list of pieces that is joined anew with every piece, a
decoder asked once for each time that a name occurs: each is quick on usual input, and takes minutes on
input that is made to be slow.

Decision. Every reader of bytes from outside is given hostile ones, of a size and of four times that size.
A run that takes next to no time passes. Otherwise four times the size may take at most eight times as long:
work in proportion takes four times, work by the square sixteen. Time is the CPU time of the thread, the
least of several runs, without garbage collection, so it does not depend on other programs. The sizes are
such that work by the square stands out by far.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from typing import Final, NamedTuple, TypeVar

import msgspec

from inferworks.errors import CallError, UpstreamError

Given = TypeVar("Given")

SIZE_BYTES: Final = 12_000
"""The smaller size; the larger is four times that, where a step for each pair of bytes takes seconds."""
_TIMES: Final = 4
_MOST_TIMES_LONGER: Final = 8.0
_NOTICED_S: Final = 0.02
"""Seconds below which a run is not looked at any closer."""
_RUNS: Final = 3
REFUSALS: Final = (CallError, UpstreamError, ValueError, RecursionError, msgspec.DecodeError)
"""Exceptions with which unreadable input is refused."""


class Filling(NamedTuple):
    """Something hostile, as much of it as one likes."""

    name: str
    of: Callable[[int], bytes]
    """Filling of so many bytes, or a little more."""


def _value(name: str, of: Callable[[int], bytes]) -> Filling:
    return Filling(name, cache(of))


def _repeated(unit: bytes) -> Callable[[int], bytes]:
    return lambda size: unit * (size // len(unit) + 1)


TEXTS: Final = tuple(
    Filling(name, _repeated(unit))
    for name, unit in {
        "spaces": b" ",
        "tabs": b"\t",
        "lines": b"\n",
        "lines of windows": b"\r\n",
        "quotes": b'"',
        "backslashes": b"\\",
        "brackets": b"[",
        "braces": b"{",
        "commas": b",",
        "semicolons": b";",
        "colons": b":",
        "equals": b"=",
        "hyphens": b"-",
        "percents": b"%25",
        "letters": b"a",
        "long words": b"a" * 511 + b" ",
        "base64 words": b"base64 " + b"A" * 100 + b" ",
        "words": b"hello ",
        "umlauts": "ä".encode(),
        "names": b'"model":',
        "places": b" - at `$.",
        "data": b"data: ",
        "addresses": b"a://",
        "keys": b"sk-",
    }.items()
)
"""Fillings of a text."""


def _as_json(of: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda size: msgspec.json.encode(of(size).decode())


def _joined(item: bytes) -> Callable[[int], bytes]:
    return lambda size: b"[" + b",".join([item] * (size // (len(item) + 1) + 1)) + b"]"


def _nested(opening: bytes, closing: bytes, depth: int = 300) -> Callable[[int], bytes]:
    nest = opening * depth + b"1" + closing * depth
    return _joined(nest)


def _named(size: int) -> bytes:
    return b"{" + b",".join(b'"k%d":"m"' % number for number in range(size // 12 + 1)) + b"}"


VALUES: Final = (
    *(
        _value(filling.name, _as_json(filling.of))
        for filling in TEXTS
    ),
    _value("white space", lambda size: b"[" + b" " * size + b"]"),
    _value("white space before", lambda size: b" " * size + b"1"),
    _value("escapes", lambda size: b'"' + b"\\u0061" * (size // 6 + 1) + b'"'),
    _value("digits", lambda size: b"1" * size),
    _value("decimals", lambda size: b"0." + b"1" * size),
    _value("names", _named),
    _value("nested lists", _nested(b"[", b"]")),
    _value("nested objects", _nested(b'{"a":', b"}")),
    *(
        _value(f"list of {item.decode()}", _joined(item))
        for item in (
            b"1", b'""', b"[]", b"{}", b"null", b'"m"', b'{"type":"text","text":"a"}',
            b'{"role":"user","content":"a"}', b'{"role":"user","content":[]}',
            b'{"type":"function","function":{"name":"a"}}',
        )
    ),
)  # fmt: skip
"""Fillings of a JSON value, as JSON."""


def objects(
    names: list[str], base: dict[str, bytes]
) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Yield JSON objects, each hostile in one place, with a description of that place.

    `base` is a good one. Each of `names` has each of `VALUES` in turn, and so has an unknown field; then
    there is much white space between the fields, or long names.
    """
    for name in [*names, "something else"]:
        for filling in VALUES:
            others = [_field(other, value) for other, value in base.items() if other != name]

            def of(
                size: int,
                name: str = name,
                others: list[bytes] = others,
                filling: Filling = filling,
            ) -> bytes:
                return b"{" + b",".join([*others, _field(name, filling.of(size))]) + b"}"

            yield f"{filling.name} as {name}", of
    good = b",".join(_field(name, value) for name, value in base.items())
    for white in (b" ", b"\n", b"\t \r\n"):

        def spread(size: int, white: bytes = white) -> bytes:
            much = white * (size // 8)
            return (
                b"{"
                + good.replace(b',"', b"," + much + b'"').replace(b":", much + b":")
                + much
                + b"}"
            )

        yield f"{white!r} between fields", spread
    yield "names", lambda size: b"{" + good + b"," + _named(size)[1:]
    yield "one long name", lambda size: b"{" + good + b"," + _field("a" * size, b"1") + b"}"
    yield "a name of escapes", lambda size: b"{" + good + b',"' + b"\\\\" * (size // 2) + b'":1}'


def _field(name: str, value: bytes) -> bytes:
    return msgspec.json.encode(name) + b":" + value


def check_growth(of: Callable[[int], Given], work: Callable[[Given], object], what: str) -> None:
    """Do `work` with values from `of` of a size, and of four times that size.

    AssertionError when the larger takes more than eight times as long. A refusal of hostile input is as
    good as an answer.
    """
    much_s = _least_s(partial(work, of(_TIMES * SIZE_BYTES)))
    if much_s < _NOTICED_S:
        return
    little_s = _least_s(partial(work, of(SIZE_BYTES)))
    assert much_s < _MOST_TIMES_LONGER * little_s, (
        f"{what}: {SIZE_BYTES} bytes take {little_s * 1000:.1f} ms and four times as many "
        f"{much_s * 1000:.1f} ms"
    )


def _least_s(work: Callable[[], object]) -> float:
    """Seconds of the processor that `work` takes; one run is enough where that is next to nothing."""
    least = float("inf")
    gc.disable()
    try:
        for _ in range(_RUNS):
            began = time.thread_time()
            with suppress(*REFUSALS):
                work()
            least = min(least, time.thread_time() - began)
            if least < _NOTICED_S / 2:
                break
    finally:
        gc.enable()
    return least
