"""The errors of this program: what each carries, and what its text is."""

from __future__ import annotations

import pytest

from inferworks.errors import (
    BillError,
    BooksError,
    CallError,
    ConfigError,
    DamagedError,
    DataFolderError,
    ExtraError,
    InferworksError,
    JournalError,
    LakeError,
    MethodError,
    Mistakes,
    MoneyError,
    NoBillError,
    RecordError,
    RefusalError,
    UnreadableError,
    UntranslatableError,
    UpstreamError,
    UserError,
)

TREE: dict[type[Exception], type[Exception]] = {
    UserError: InferworksError,
    ConfigError: UserError,
    ExtraError: ConfigError,
    DataFolderError: UserError,
    DamagedError: DataFolderError,
    LakeError: UserError,
    BillError: UserError,
    NoBillError: BillError,
    MoneyError: UserError,
    CallError: InferworksError,
    MethodError: CallError,
    UpstreamError: InferworksError,
    UnreadableError: UpstreamError,
    RefusalError: UpstreamError,
    UntranslatableError: UpstreamError,
    JournalError: InferworksError,
    RecordError: JournalError,
    BooksError: InferworksError,
}
SECRET = "sk-1234567890abcdef"


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_each_error_has_one_parent(kind: type[Exception]) -> None:
    """A handler of a kind of error catches the kinds below it, and no others."""
    assert kind.__bases__ == (TREE[kind],)


@pytest.mark.parametrize("kind", [kind for kind in TREE if issubclass(kind, UserError)])
def test_the_text_for_a_user_shows_no_secret(kind: type[UserError]) -> None:
    """A key that stands in a setting is masked, whichever kind of error tells of it."""
    assert str(kind(f"key {SECRET} of http://me:pass@host/v1 is wrong")) == (
        "key *** of http://***@host/v1 is wrong"
    )


def test_no_mistake_is_no_error() -> None:
    """A collector that was told nothing refuses nothing."""
    mistakes = Mistakes()
    with mistakes.noted():
        pass
    mistakes.refuse()
    assert mistakes.texts == []


def test_one_mistake_is_one_line() -> None:
    """A single mistake is told as if nothing had collected it."""
    mistakes = Mistakes()
    with mistakes.noted():
        raise ConfigError("a is wrong")
    with pytest.raises(ConfigError) as refused:
        mistakes.refuse()
    assert str(refused.value) == "a is wrong"


def test_several_mistakes_are_told_in_their_order() -> None:
    """Several mistakes stand in a line each, below their number; what follows one is still looked at."""
    mistakes = Mistakes()
    with mistakes.noted():
        raise ConfigError("b is wrong")
    with mistakes.noted():
        raise ExtraError("a is not installed")
    with pytest.raises(ConfigError) as refused:
        mistakes.refuse()
    assert str(refused.value) == "2 mistakes:\n  b is wrong\n  a is not installed"


def test_another_error_is_no_mistake() -> None:
    """An error that is none of a setting's ends the reading at once."""
    mistakes = Mistakes()
    with pytest.raises(MoneyError), mistakes.noted():
        raise MoneyError("not exact")
    assert mistakes.texts == []


def test_a_call_is_refused_in_the_terms_of_its_caller() -> None:
    """A refusal carries the fields of OpenAI's error body; only its status and message must be given."""
    plain = CallError(400, "no")
    assert (plain.status, plain.message, str(plain)) == (400, "no", "no")
    assert (plain.kind, plain.code, plain.param) == ("invalid_request_error", None, None)
    assert plain.retry_after_s is None
    full = CallError(429, "wait", kind="rate_limit_error", code="c", param="p", retry_after_s=3)
    assert (full.kind, full.code, full.param, full.retry_after_s) == (
        "rate_limit_error",
        "c",
        "p",
        3,
    )


@pytest.mark.parametrize(
    ("kind", "is_callers"),
    [("invalid_request_error", True), ("rate_limit_error", False), ("server_error", False)],
)
def test_a_request_is_at_fault_by_the_kind_of_its_error(kind: str, is_callers: bool) -> None:
    """Only an invalid request is its caller's fault, whatever its status."""
    assert CallError(400, "no", kind=kind).is_callers is is_callers
    assert CallError(503, "no", kind=kind).is_callers is is_callers


def test_a_method_that_a_path_does_not_take() -> None:
    """The refusal of a method has status 405 and the methods that go into `Allow`."""
    error = MethodError("use POST", ["POST", "OPTIONS"])
    assert (error.status, error.code) == (405, "method_not_supported")
    assert error.allowed == ("POST", "OPTIONS")
    assert error.is_callers


@pytest.mark.parametrize("sent", [False, True])
def test_a_failure_says_whether_it_may_have_cost(sent: bool) -> None:
    """A failed attempt knows if its upstream may have begun; nothing else is supposed."""
    error = UpstreamError("reset", sent=sent)
    assert (error.sent, str(error)) == (sent, "reset")
    flags = (error.worked, error.gave_up, error.unread, error.ours, error.answered)
    assert not any(flags)
    assert error.reported is None


@pytest.mark.parametrize("flag", ["gave_up", "unread", "ours", "answered"])
def test_a_failure_carries_what_is_known_of_it(flag: str) -> None:
    """Each of the flags stands for itself."""
    error = UpstreamError("reset", sent=False, **{flag: True})
    flags = ("gave_up", "unread", "ours", "answered")
    assert [name for name in flags if getattr(error, name)] == [flag]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnreadableError(ValueError("bad")), "the answer cannot be read: bad"),
        (UntranslatableError("bad"), "the answer cannot be translated: bad"),
    ],
    ids=["unreadable", "untranslatable"],
)
def test_an_upstream_that_answered_has_worked(error: UpstreamError, text: str) -> None:
    """An answer that nobody can use has cost all the same."""
    assert str(error) == text
    assert (error.sent, error.worked, error.answered) == (True, True, True)


def test_an_error_where_an_answer_should_be() -> None:
    """A refusal under status 200 keeps its body whole, and shows 200 characters of its words."""
    silent = RefusalError(429, b"{}")
    assert str(silent) == "the answer is an error of status 429"
    assert (silent.status, silent.body, silent.words) == (429, b"{}", "")
    assert (silent.sent, silent.worked) == (True, False)
    loud = RefusalError(500, b"{}", "x" * 201)
    assert str(loud) == "the answer is an error of status 500: " + "x" * 200
    assert loud.words == "x" * 201
