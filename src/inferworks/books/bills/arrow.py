"""The text of a value that Arrow holds, whatever its type.

Problem. Arrow's Python values are not safe to ask for: a date in the year 20,000, a nanosecond of a
duration, bytes that are no UTF-8 and a structure with two fields of one name raise, each in its own way,
and a map with two equal keys quietly loses one.

Decision. Numbers that stand for times are read as the integers they are stored as, and everything nested
becomes JSON, its leaves by the same rules. A value without a text that its sender would recognise is a
ValueError with the reason, and the file is refused by row and column. A moment is written in UTC, as it
is stored; the name of a time zone is only for display.

A binary float is written as the shortest decimal that its own width tells apart, which is the decimal that
somebody wrote when it has no more digits than that width keeps (`exact_digits`).
"""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np

from inferworks.arrow import pa
from inferworks.units import NS_PER_SECOND

_TWICE = "names something twice in one cell"
_UNIT_NS = {"s": NS_PER_SECOND, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY_S = 86_400
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
_FLOATS = {pa.float16(): (np.float16, 3), pa.float32(): (np.float32, 6), pa.float64(): (float, 15)}
"""Of each width: what knows its shortest text, and how many digits of any decimal come back unchanged."""


def exact_digits(kind: pa.DataType) -> int | None:
    """The significant digits that the floats of this type keep; None when it has none."""
    if _is_coded(kind):
        return exact_digits(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return exact_digits(kind.storage_type)
    if pa.types.is_union(kind):
        return min(filter(None, [exact_digits(field.type) for field in kind]), default=None)
    return _FLOATS[kind][1] if kind in _FLOATS else None


def arrow_texts(column: pa.Array[Any]) -> tuple[Sequence[str], Mapping[int, str]]:
    """The texts of `column`, and by place why there is none."""
    types, kind = pa.types, column.type
    if types.is_string(kind) or types.is_large_string(kind):
        with suppress(UnicodeDecodeError):
            coded = column.dictionary_encode()
            texts = coded.dictionary.to_pylist()
            return ["" if n is None else texts[n] for n in coded.indices.to_pylist()], {}
    if types.is_decimal(kind):
        return ["" if it is None else format(it, "f") for it in column.to_pylist()], {}
    if types.is_integer(kind):
        return ["" if it is None else str(it) for it in column.to_pylist()], {}
    if types.is_float64(kind):
        return ["" if it is None else str(it) for it in column.to_pylist()], {}
    if types.is_timestamp(kind) or types.is_date(kind):  # a bill has few of them, many times
        coded = column.dictionary_encode()
        values, problems = _one_by_one(coded.dictionary)
        places = coded.indices.to_pylist()
        odd = {at: problems[n] for at, n in enumerate(places) if n in problems} if problems else {}
        return ["" if n is None else values[n] for n in places], odd
    if types.is_map(kind) and pa.string() == kind.key_type == kind.item_type:
        with suppress(UnicodeDecodeError):
            return _maps(column.to_pylist())
    return _one_by_one(column)


def _maps(rows: Iterable[list[tuple[str, str]] | None]) -> tuple[Sequence[str], Mapping[int, str]]:
    """The texts of maps of text, which tags are: few, many times."""
    known: dict[tuple[tuple[str, str], ...], str] = {}
    texts, problems = [], {}
    for place, pairs in enumerate(rows):
        key = tuple((name or "", text) for name, text in pairs or ())
        if key not in known:
            known[key] = json.dumps(dict(key), ensure_ascii=False, sort_keys=True)
        if len({name for name, _ in key}) < len(key):
            problems[place] = _TWICE
        texts.append("" if pairs is None or place in problems else known[key])
    return texts, problems


def _one_by_one(column: pa.Array[Any]) -> tuple[Sequence[str], Mapping[int, str]]:
    texts, problems = [""] * len(column), {}
    for place, value in enumerate(column):
        try:
            texts[place] = arrow_text(value)
        except ValueError as error:
            problems[place] = str(error)
    return texts, problems


def arrow_text(value: pa.Scalar[Any]) -> str:
    """The text of `value`; a null is the empty text.

    ValueError, with a reason, when there is none.
    """
    try:
        found = _plain(value)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    match found:
        case None:
            return ""
        case bool() | list() | dict():
            return json.dumps(found, ensure_ascii=False, sort_keys=True)
        case _:
            return str(found)


def _plain(value: pa.Scalar[Any]) -> Any:
    """The JSON value of `value`: text unless it is null, true or false, a number or something nested."""
    types, kind = pa.types, value.type
    if not value.is_valid or types.is_null(kind):
        return None
    if kind == pa.uuid():
        return str(uuid.UUID(bytes=value.value.as_py()))
    if isinstance(kind, pa.BaseExtensionType) or _is_coded(kind) or types.is_union(kind):
        return _plain(value.value)
    if types.is_map(kind):
        keys, values = value.values.flatten()
        return _object([arrow_text(key) for key in keys], values)
    if types.is_struct(kind):
        names = [field.name for field in kind]
        return _object(names, [value[place] for place in range(len(names))])
    if types.is_nested(kind):
        return [_plain(item) for item in value.values]
    if kind in _FLOATS:
        number = float(str(_FLOATS[kind][0](value.as_py())))
        return number if math.isfinite(number) else str(number)
    if types.is_boolean(kind) or types.is_integer(kind):
        return value.as_py()
    return _leaf(value)


def _is_coded(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType)


def _object(names: Sequence[str], values: Iterable[pa.Scalar[Any]]) -> dict[str, Any]:
    found = dict(zip(names, map(_plain, values), strict=True))
    if len(found) < len(names):
        raise ValueError(_TWICE)
    return found


def _leaf(value: pa.Scalar[Any]) -> str:
    types, kind = pa.types, value.type
    if types.is_timestamp(kind):
        days, rest_ns = divmod(value.value * _UNIT_NS[kind.unit], _DAY_S * NS_PER_SECOND)
        return f"{_day(days)}T{_time(rest_ns)}Z"
    if types.is_date32(kind):
        return _day(value.value)
    if types.is_date64(kind):
        return _day(value.value // (_DAY_S * 1000))
    if types.is_time(kind):
        return _time(value.value * _UNIT_NS[kind.unit])
    if types.is_duration(kind):
        return f"PT{_seconds(value.value * _UNIT_NS[kind.unit])}S"
    if types.is_interval(kind):
        months, days, nanoseconds = value.as_py()
        return f"P{months}M{days}DT{_seconds(nanoseconds)}S"
    if types.is_decimal(kind):
        return format(value.as_py(), "f")
    try:
        return str(value.as_buffer().to_pybytes(), "utf-8")
    except UnicodeDecodeError:
        raise ValueError("bytes that are no UTF-8; write the column as text") from None


def _day(day: int) -> str:
    try:
        return dt.date.fromordinal(_EPOCH_DAY + day).isoformat()
    except (ValueError, OverflowError):
        raise ValueError("a date outside of the years 1 to 9999") from None


def _time(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, NS_PER_SECOND)
    if not 0 <= seconds < _DAY_S:
        raise ValueError("a time outside of its day")
    fraction = f".{rest_ns:09d}" if rest_ns else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _seconds(nanoseconds: int) -> str:
    """Seconds as an exact decimal."""
    return format(Decimal(nanoseconds).scaleb(-9).normalize(), "f")
