"""Forms with files: fields are found, one is exchanged, and what is not strictly a form is refused."""

from __future__ import annotations

import email.message
import email.parser
import email.policy

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.http.multipart import (
    Part,
    form_of,
    is_form,
    read_parts,
    text_fields,
    with_field,
    without_field,
)

TYPE = b"multipart/form-data; boundary=AaB03x"
HEAD = b'Content-Disposition: form-data; name="model"'
GOOD = b"--AaB03x\r\n" + HEAD + b"\r\n\r\nwhisper-1\r\n--AaB03x--\r\n"

NAMES = st.text(
    st.characters(codec="ascii", categories=("L", "N"), include_characters="[]_"), min_size=1
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
FILES = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1), st.binary()
)


def request(
    fields: dict[str, str], files: list[tuple[str, tuple[str, bytes]]]
) -> tuple[bytes, bytes]:
    """A form as a client's library writes it: its body and its content type."""
    sent = httpx2.Request("POST", "http://localhost/", data=fields, files=files)
    return sent.read(), sent.headers["content-type"].encode()


@pytest.mark.slow
@given(
    st.dictionaries(NAMES, TEXTS, max_size=5),
    st.lists(st.tuples(NAMES, FILES), min_size=1, max_size=4),
)
def test_what_a_client_writes_is_found(
    fields: dict[str, str], files: list[tuple[str, tuple[str, bytes]]]
) -> None:
    """Every field and file of a form written by a client's library is found, byte for byte."""
    body, content_type = request(fields, files)
    parts = read_parts(body, content_type)
    found = [(part.name, body[part.start : part.end]) for part in parts]
    written = [(name, text.encode()) for name, text in fields.items()]
    assert found == [*written, *((name, content) for name, (_, content) in files)]
    assert [part.is_file for part in parts] == [False] * len(fields) + [True] * len(files)


@pytest.mark.slow
@given(
    st.dictionaries(NAMES, TEXTS, max_size=5),
    st.lists(st.tuples(NAMES, FILES), min_size=1, max_size=2),
    st.text(
        st.characters(codec="ascii", categories=("L", "N"), include_characters="/.-"), min_size=1
    ),
)
def test_one_field_is_exchanged(
    fields: dict[str, str], files: list[tuple[str, tuple[str, bytes]]], name: str
) -> None:
    """The model has its new name; all other parts, and all bytes around it, are what they were."""
    fields, files = {**fields, "model": "old"}, [pair for pair in files if pair[0] != "model"]
    body, content_type = request(fields, files or [("file", ("a", b"b"))])
    if name.startswith("--"):
        with pytest.raises(ValueError, match="cannot have the value"):
            with_field(body, content_type, "model", name)
        return
    (old,) = [part for part in read_parts(body, content_type) if part.name == "model"]
    changed = with_field(body, content_type, "model", name)
    assert changed == body[: old.start] + name.encode() + body[old.end :]
    parts = read_parts(changed, content_type)
    assert text_fields(changed, parts, ["model"]) == {"model": name}
    assert len(parts) == len(read_parts(body, content_type))


def test_a_field_that_is_missing_is_added() -> None:
    """A form without the field has it afterwards, before the others."""
    changed = with_field(form_of([("prompt", "a\r\ncat")], b"AaB03x"), TYPE, "model", "sd3.5-large")
    parts = read_parts(changed, TYPE)
    assert [part.name for part in parts] == ["model", "prompt"]
    assert text_fields(changed, parts, ["model", "prompt"]) == {
        "model": "sd3.5-large",
        "prompt": "a\r\ncat",
    }


@given(st.dictionaries(NAMES, TEXTS, max_size=4), st.lists(st.integers(0, 5), max_size=2))
def test_a_field_is_taken_out(fields: dict[str, str], places: list[int]) -> None:
    """A field is gone, however often and wherever it stood, and the rest of the form is unchanged."""
    others = [(name, text) for name, text in fields.items() if name != "model"]
    without = form_of(others, b"inferworks-7MA4YWxk")
    for place in places:
        others.insert(place, ("model", "old"))
    content_type = b"multipart/form-data; boundary=inferworks-7MA4YWxk"
    body = form_of(others, b"inferworks-7MA4YWxk")
    assert without_field(body, content_type, "model") == without


@pytest.mark.slow
@given(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4))
def test_our_own_forms_can_be_read_by_others(fields: dict[str, str]) -> None:
    """The standard library reads the forms that we write."""
    body = form_of(list(fields.items()), b"inferworks-7MA4YWxk")
    head = b'Content-Type: multipart/form-data; boundary="inferworks-7MA4YWxk"\r\n\r\n'
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    read = [(_name(part), part.get_payload(decode=True)) for part in message.iter_parts()]  # type: ignore[attr-defined]
    assert read == [(name, text.encode()) for name, text in fields.items()]


def _name(part: email.message.Message) -> object:
    return part.get_param("name", header="content-disposition")


@pytest.mark.parametrize(
    ("content_type", "good"),
    [
        (b"multipart/form-data; boundary=AaB03x", True),
        (b'Multipart/Form-Data; charset=utf-8; Boundary="AaB03x" ', True),
        (b"multipart/form-data", False),
        (b"multipart/form-data; boundary=", False),
        (b'multipart/form-data; boundary=""', False),
        (b"multipart/form-data; boundary=AaB03x; boundary=other", False),
        (b"multipart/form-data; boundary=AaB03x, other", False),
        (b"multipart/form-data; boundary=" + b"a" * 71, False),
        (b'multipart/form-data; boundary="a\\"b"', False),
        (b"multipart/form-data; boundary", False),
        (b"multipart/mixed; boundary=AaB03x", False),
        (b"application/json", False),
    ],
)
def test_content_types(content_type: bytes, good: bool) -> None:
    """A content type names one boundary, or is refused."""
    if good:
        assert is_form(content_type)
        assert read_parts(GOOD, content_type) == (Part("model", False, 58, 67),)
    else:
        with pytest.raises(ValueError, match=r"boundary|content type"):
            read_parts(GOOD, content_type)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "begin with its boundary"),
        (b"\r\n" + GOOD, "begin with its boundary"),
        (b"preamble\r\n" + GOOD, "begin with its boundary"),
        (GOOD + b"x", "follows the end"),
        (GOOD + b"\r\n", "follows the end"),
        (GOOD[:-3], "not alone on its line"),
        (GOOD[:-8], "does not end"),
        (GOOD.replace(b"\r\n", b"\n"), "not alone on its line"),
        (GOOD.replace(b"AaB03x\r\n", b"AaB03x \r\n"), "not alone on its line"),
        (GOOD.replace(b"whisper-1", b"x\r\n--AaB03xy"), "not alone on its line"),
        (GOOD.replace(b"whisper-1\r\n", b""), "no empty line"),
        (GOOD.replace(HEAD, b"Content-Type: text/plain"), "no Content-Disposition"),
        (GOOD.replace(HEAD, HEAD + b"\r\n" + HEAD), "twice"),
        (GOOD.replace(HEAD, HEAD + b"\r\n folded: x"), "cannot be read"),
        (GOOD.replace(HEAD, HEAD + b"\r\nX: a\nb"), "cannot be read"),
        (GOOD.replace(HEAD, HEAD + b"\r\nX : a"), "cannot be read"),
        (GOOD.replace(HEAD, HEAD + b"\r\nX: " + b"a" * 5000), "do not end within"),
        (GOOD.replace(HEAD, HEAD + b"\r\nContent-Transfer-Encoding: base64"), "send it as it is"),
        (GOOD.replace(HEAD, HEAD + b'; name="stream"'), "one name"),
        (GOOD.replace(HEAD, HEAD + b"; name*=UTF-8''stream"), "one name"),
        (GOOD.replace(b'; name="model"', b""), "one name"),
        (GOOD.replace(b'name="model"', b'name="mod\\el"'), "escape"),
        (GOOD.replace(b'name="model"', b'name="mod%65l"'), "escape"),
        (GOOD.replace(b'name="model"', b'name="\xff"'), "not UTF-8"),
        (GOOD.replace(b'name="model"', b'name="model'), "cannot be read"),
        (GOOD.replace(b'name="model"', b'name="model" x'), "cannot be read"),
        (GOOD[:-12] * 200 + GOOD, "more than 128"),
    ],
)  # fmt: skip
def test_what_is_not_strictly_a_form_is_refused(body: bytes, why: str) -> None:
    """Bodies that parsers are known to read differently are refused; nothing is guessed."""
    with pytest.raises(ValueError, match=why):
        read_parts(body, TYPE)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (form_of([("model", "a"), ("model", "b")], b"AaB03x"), "comes twice"),
        (form_of([("model", "x" * 70_000)], b"AaB03x"), "larger than"),
        (GOOD.replace(b'"model"', b'"model"; filename="a"'), "is a file"),
        (GOOD.replace(b"whisper", b"\xff"), "not UTF-8"),
    ],
)
def test_a_field_that_is_asked_for_is_one_short_text(body: bytes, why: str) -> None:
    """Two values of a field could be two answers to one question."""
    with pytest.raises(ValueError, match=why):
        text_fields(body, read_parts(body, TYPE), ["model"])


def test_what_cannot_be_written_is_told() -> None:
    """Neither a form nor a change of one is written that could be read as another."""
    with pytest.raises(ValueError, match="boundary"):
        form_of([("prompt", "AaB03x")], b"AaB03x")
    with pytest.raises(ValueError, match="comes twice"):
        with_field(form_of([("model", "a"), ("model", "b")], b"AaB03x"), TYPE, "model", "c")
    for value in ("a\r\n", "a\n", "--AaB03x"):
        with pytest.raises(ValueError, match="cannot have the value"):
            with_field(GOOD, TYPE, "model", value)


@given(st.data())
def test_any_damage_is_told_or_harmless(data: st.DataObject) -> None:
    """Bytes cut out and put in lead to a ValueError or to parts within the body, and to nothing else."""
    body = form_of([("model", "whisper-1"), ("prompt", "hello"), ("stream", "true")], b"AaB03x")
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 12)))
    pieces = st.sampled_from(
        [b"\r\n", b"--AaB03x", b"--", b'"', b";", b"\r\n\r\n", b"name*=", b"\\"]
    )
    body = body[:start] + data.draw(st.one_of(st.binary(max_size=4), pieces)) + body[end:]
    try:
        parts = read_parts(body, TYPE)
        text_fields(body, parts, ["model", "stream"])
    except ValueError:
        return
    ends = [0, *(place for part in parts for place in (part.start, part.end)), len(body)]
    assert ends == sorted(ends)
    assert not any(b"\r\n--AaB03x" in body[part.start : part.end] for part in parts)


@given(st.binary(max_size=200), st.binary(max_size=80))
def test_any_bytes_are_told(body: bytes, content_type: bytes) -> None:
    """Noise is a ValueError, or an empty form, whatever it claims to be."""
    for claimed in (TYPE, content_type):
        try:
            read_parts(body, claimed)
        except ValueError:
            continue
