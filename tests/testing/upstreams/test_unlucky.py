"""Unlucky forms of an answer: drawn by a seed, applied where they belong, harmless to their original."""

from __future__ import annotations

import copy
import json

import pytest

from inferworks.testing.upstreams.unlucky import (
    CHAT,
    CONVERSE,
    FORMS,
    MESSAGES,
    RESPONSES,
    Luck,
    drawn,
)

DIALECTS = (CHAT, RESPONSES, MESSAGES, CONVERSE)
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "system_fingerprint": "fp",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
PIECES = [b"data: one\n\n", b"data: two\n\n"]


def test_every_form_says_where_it_was_met() -> None:
    """A source, and a dialect at least that sends it."""
    for name, form in FORMS.items():
        assert form.source, name
        assert form.dialects, name
        assert form.dialects <= set(DIALECTS), name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_draw_is_of_the_dialect_and_the_same_for_a_seed(dialect: str) -> None:
    """One to three forms, none twice; of several seeds not all draw the same."""
    found = [drawn(seed, dialect) for seed in range(20)]
    assert found == [drawn(seed, dialect) for seed in range(20)]
    assert len(set(found)) > 1
    for luck in found:
        assert 1 <= len(luck.names) == len(set(luck.names)) <= 3
        assert all(dialect in FORMS[name].dialects for name in luck.names)
    assert all(len(drawn(seed, dialect, 1).names) == 1 for seed in range(5))


def test_no_form_changes_nothing() -> None:
    """A body, events and bytes come as they are, the end of the stream behind them."""
    luck = Luck()
    assert luck.body(CHAT, WHOLE) is WHOLE
    assert luck.events(CHAT, [WHOLE]) == [WHOLE]
    assert list(luck.framed(CHAT, PIECES, b"end")) == [*PIECES, b"end"]


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if CHAT in form.dialects])
def test_a_form_leaves_the_original_and_what_counts(name: str) -> None:
    """The body it was made of is as before; the tokens and the reason of the end are equal."""
    before = copy.deepcopy(WHOLE)
    changed = Luck((name,), 1).body(CHAT, WHOLE)
    assert before == WHOLE
    assert json.loads(json.dumps(changed)) == changed
    usage = changed["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (5, 1)
    assert changed["choices"][0]["finish_reason"] == "stop"
    assert changed == Luck((name,), 1).body(CHAT, WHOLE), "a seed is the same form each time"


def test_a_form_of_another_dialect_is_left_out() -> None:
    """A form that only one vendor sends changes no answer of another."""
    [name, *_] = (name for name, form in FORMS.items() if form.dialects == {CHAT})
    assert Luck((name,)).body(MESSAGES, WHOLE) is WHOLE


def test_forms_of_bytes_change_no_data() -> None:
    """Each sends the lines of data, whatever stands between them, and no empty piece."""
    for name, form in FORMS.items():
        if form.stage == "framed" and CHAT in form.dialects:
            pieces = list(Luck((name,), 1).framed(CHAT, PIECES, b"data: [DONE]\n\n"))
            joined = b"".join(pieces)
            assert all(pieces), name
            assert b"one" in joined, name
            assert b"two" in joined, name
            assert joined.index(b"one") < joined.index(b"two"), name


def test_counts_may_have_a_fraction_of_nothing() -> None:
    """The form is a float of the same number."""
    usage = Luck(("counts as floats",)).body(CHAT, WHOLE)["usage"]
    assert usage == WHOLE["usage"]
    assert {type(value) for value in usage.values()} == {float}


def test_a_content_may_come_in_parts() -> None:
    """The text is one of them, behind a thought."""
    [choice] = Luck(("content in parts",)).body(CHAT, WHOLE)["choices"]
    thought, text = choice["message"]["content"]
    assert (thought["type"], text) == ("thinking", {"type": "text", "text": "Hi"})
