"""Place of the instructions in a conversation for Anthropic and Bedrock."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.cloud.translate.instructions import placed

TURNS = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "tool", "system"]),
        st.lists(st.text("abc", min_size=1, max_size=3).map(lambda text: {"text": text}), max_size=2),
    ),
    max_size=8,
)  # fmt: skip


def turn(role: str, *texts: str) -> tuple[str, list[dict[str, Any]]]:
    """A turn with these blocks."""
    return role, [{"text": text} for text in texts]


def test_those_at_the_head_become_the_system() -> None:
    """In order; the conversation begins with the first who speaks."""
    head, turns = placed(
        [turn("system", "a", "b"), turn("system", "c"), turn("user", "hi")], amid=False
    )
    assert [block["text"] for block in head] == ["a", "b", "c"]
    assert turns == [turn("user", "hi")]


def test_one_amid_the_messages_is_marked_in_the_users_turn() -> None:
    """An instruction is marked in its order where the system has no turns of its own."""
    said = [turn("user", "hi"), turn("system", "be brief"), turn("assistant", "ok")]
    assert placed(said, amid=False)[1] == [
        turn("user", "hi", "<system>be brief</system>"), turn("assistant", "ok"),
    ]  # fmt: skip


def test_one_before_the_assistant_has_its_own_turn_where_it_may() -> None:
    """After a user's turn only: one that follows no user is marked."""
    said = [turn("user", "hi"), turn("system", "be brief"), turn("assistant", "ok")]
    assert placed(said, amid=True)[1] == said
    after = [turn("user", "hi"), turn("assistant", "ok"), turn("system", "be brief")]
    assert placed(after, amid=True)[1][-1] == turn("user", "<system>be brief</system>")
    between = [turn("user", "hi"), turn("system", "x"), turn("user", "ho")]
    assert placed(between, amid=True)[1] == [turn("user", "hi", "<system>x</system>", "ho")]


def test_results_of_tools_come_first() -> None:
    """Results follow their calls, whatever stood between."""
    said = [turn("assistant", "call"), turn("user", "wait"), turn("tool", "1"), turn("tool", "2")]
    _, turns = placed(said, amid=False)
    assert turns[1:] == [turn("user", "1", "2"), turn("user", "wait")]


def test_what_has_no_text_is_not_marked() -> None:
    """A picture among instructions stays as it is."""
    _, turns = placed([turn("user", "hi"), ("system", [{"image": "x"}])], amid=False)
    assert turns == [("user", [{"text": "hi"}, {"image": "x"}])]


@settings(max_examples=15)
@given(TURNS, st.booleans())
def test_nothing_is_lost_and_roles_are_ones_that_are_known(said: Any, amid: bool) -> None:
    """Every block is there once; no turn is empty; no system turn where the model takes none."""
    head, turns = placed(said, amid=amid)
    before = sorted(block["text"] for _, blocks in said for block in blocks)
    after = [block["text"] for block in head]
    after += [block["text"] for _, blocks in turns for block in blocks]
    assert (
        sorted(text.removeprefix("<system>").removesuffix("</system>") for text in after) == before
    )
    assert all(blocks for _, blocks in turns)
    assert {role for role, _ in turns} <= {"user", "assistant", *(["system"] if amid else [])}
    for one, other in pairwise(turns):
        if other[0] == "system":
            assert one[0] == "user"
