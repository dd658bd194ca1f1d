"""A request's one changed value, and all of its other bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferworks.api.wire.decoding import ambiguous_name
from inferworks.cloud.bodies.rewrite import (
    MOST_NAMES,
    TooManyNamesError,
    read_fields,
    with_model,
    with_value,
    without_value,
)

WHITE = st.text(" \t\r\n", max_size=3)
NAMES = st.sampled_from(["model", "messages", "metadata", "x", "Ä", "mod\u0435l"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from(["m", "model", "größe", "\\", '"m"'])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


def escaped(text: str) -> str:
    """`text` as JSON with every character escaped."""
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


@st.composite
def written(draw: st.DrawFn) -> tuple[list[bytes], int]:
    """A request with a model, cut into pieces, and the number of the piece that is the model's value."""
    others = draw(st.dictionaries(NAMES.filter(lambda name: name != "model"), VALUES, max_size=4))
    fields = list({**others, "model": draw(st.sampled_from(["m", "größe", "x"]))}.items())
    pieces, place = [b"{"], 0
    for number, (name, value) in enumerate(draw(st.permutations(fields))):
        key = draw(st.sampled_from([json.dumps, escaped]))(name)
        data = json.dumps(value, indent=draw(st.sampled_from([None, 1])), ensure_ascii=False)
        white = [draw(WHITE) for _ in range(4)]
        pieces.append(f"{',' if number else ''}{white[0]}{key}{white[1]}:{white[2]}".encode())
        pieces.append(data.encode())
        place = len(pieces) - 1 if name == "model" else place
        pieces.append(white[3].encode())
    return [*pieces, b"}" + draw(WHITE).encode()], place


@pytest.mark.slow
@given(written(), st.sampled_from(["m", "vendor/m", 'a "b"', "größe"]))
def test_only_the_model_changes(request_: tuple[list[bytes], int], model: str) -> None:
    """The model's value is exchanged and every other byte stays, however a request is written."""
    pieces, place = request_
    body = b"".join(pieces)
    got = with_model(body, model)
    if json.loads(pieces[place]) != model:
        pieces[place] = json.dumps(model, ensure_ascii=False).encode()
        assert got == b"".join(pieces)
    assert json.loads(got)["model"] == model


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"{}", b'{"model":"new"}'),
        (b" {\n } ", b' {\n "model":"new"} '),
        (b'{"input":"x" }\n', b'{"input":"x" ,"model":"new"}\n'),
        (b'{"model":"a","model":"b"}', b'{"model":"a","model":"new"}'),
        (b'{"model":"b","model":"b"}', b'{"model":"b","model":"new"}'),
        (b'{"m\\u006fdel":"b","x":{"model":"b"}}', b'{"m\\u006fdel":"new","x":{"model":"b"}}'),
        (b'{"model":"n\\u0065w"}', b'{"model":"new"}'),
    ],
)
def test_odd_requests(body: bytes, wanted: bytes) -> None:
    """A missing model is added, a repeated one counts where it is last, an escaped one is found."""
    assert with_model(body, "new") == wanted


def test_a_name_repeated_without_end() -> None:
    """A request that says its model's name a thousand times keeps all of them but the one that counts."""
    before, after = b'{"x": [%b"m", 1.50], "model": ' % (b'"m", ' * 1000), b' , "y": "m"}'
    assert with_model(before + b'"m"' + after, "new") == before + b'"new"' + after


@pytest.mark.slow
@given(written(), st.sampled_from(["model", "x"]))
def test_a_field_is_taken_out_where_it_stands(request_: tuple[list[bytes], int], name: str) -> None:
    """A request less one field has the others as they were, however it is written."""
    body = b"".join(request_[0])
    fields = read_fields(body)
    if name not in fields:
        return
    got = without_value(body, name)
    del fields[name]
    assert {n: bytes(v) for n, v in read_fields(got).items()} == {
        n: bytes(v) for n, v in fields.items()
    }
    cut = len(body) - len(got)
    assert any(body[:at] + body[at + cut :] == got for at in range(len(got) + 1))


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"model":"m","x":{"model":"y"},"X":1}', "X"),
        (b'{"a":1,"b":2,"a":1}', "a"),
        (b'{"model":"m","\\u004dodel":"y"}', "Model"),
        ('{"stream":false,"\u017ftream":true}'.encode(), "\u017ftream"),
        ('{"k":1,"\u212a":2}'.encode(), "\u212a"),
    ],
)
def test_names_that_are_one_to_somebody(body: bytes, name: str) -> None:
    """The second of two names that are one but for case, escapes or kin of letters is told."""
    assert ambiguous_name(body) == name


@pytest.mark.slow
@given(written(), NAMES, NAMES, SCALARS)
def test_ambiguity_is_told_exactly(
    request_: tuple[list[bytes], int], one: str, other: str, value: object
) -> None:
    """A request is ambiguous where two of its names are, however it is written, and only then."""
    body = b"".join(request_[0]).rstrip()
    more = [one, other.upper()]
    for name in more:
        body = body[:-1] + b",%b:%b}" % (json.dumps(name).encode(), json.dumps(value).encode())
    names = [name.casefold() for name, _ in json.loads(body, object_pairs_hook=list)]
    told = ambiguous_name(body)
    assert (told is not None) == (len(set(names)) < len(names))


def test_more_names_than_anybody_gives() -> None:
    """A request with names without end is not read to its end."""
    body = b"{" + b",".join(b'"A%d":1' % number for number in range(MOST_NAMES + 1)) + b"}"
    with pytest.raises(TooManyNamesError):
        ambiguous_name(body)


@pytest.mark.slow
@example({"messages": None, "\u00c4": None, "model": 0}, "model", None)  # "0" is in an escape, too
@given(st.dictionaries(NAMES, VALUES, max_size=4), NAMES, SCALARS)
def test_any_value_can_be_set(fields: dict[str, Any], name: str, value: object) -> None:
    """A value that was set is read afterwards, and all else as before."""
    body = json.dumps(fields).encode()
    got = with_value(body, read_fields(body), name, json.dumps(value).encode())
    assert json.loads(got) == {**fields, name: value}
