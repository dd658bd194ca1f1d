"""Fields that an upstream could not be asked for are told to the caller and on record."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud.conftest import Run

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.serving.left_out import left_out_text
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.meter.usage import Outcome
from inferworks.testing.in_process_gateway import open_gateway_over
from inferworks.testing.providers import A_MODEL


class Forgetful(ResponsesToChat):
    """Leaves two things out of every request."""

    def ask(self, call: Call) -> Call:
        """`call` without them."""
        left_out = (*call.left_out, "verbosity", "web_search")
        return msgspec.structs.replace(super().ask(call), left_out=left_out)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (["n"], "n"),
        (["n", "logprobs", "n"], "n, logprobs"),
        (["a\r\nset-cookie: b", "größe", "a,b"], "a??set-cookie:?b, gr??e, a?b"),
    ],
)
def test_names_become_one_line(names: list[str], text: str) -> None:
    """Each name once, in its order, and nothing in it that a header cannot have."""
    assert left_out_text(names) == text


@given(st.lists(st.text(max_size=100), max_size=100))
def test_whatever_is_left_out_the_line_is_short_and_plain(names: list[str]) -> None:
    """The line stays short and plain, however long, many and strange the names are."""
    text = left_out_text(names)
    assert len(text) <= 512
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 400])
def test_it_is_in_the_head_and_on_the_leg(run: Run, stream: bool, status: int) -> None:
    """Of a translated call, whole, streamed or refused; a call as it came has no such header."""

    async def main() -> None:
        stub = StubProvider([Script(status=status)])
        provider = TranslatingProvider(stub, [Forgetful()])
        body = msgspec.json.encode({"model": A_MODEL, "input": "hello", "stream": stream})
        async with open_gateway_over(provider) as gateway:
            answer = await gateway.ask("POST", "/v1/responses", body)
            assert answer.status == status
            assert answer.headers["x-inferworks-left-out"] == "verbosity, web_search"
            plain = {"model": A_MODEL, "messages": [{"role": "user", "content": "hello"}]}
            assert "x-inferworks-left-out" not in (await gateway.chat(plain)).headers
            translated, untouched = await gateway.usages()
        assert [leg.left_out for leg in translated.legs] == ["verbosity, web_search"]
        assert [leg.left_out for leg in untouched.legs] == [""]
        assert stub.calls[0].operation is Operation.CHAT
        assert translated.outcome is (Outcome.ANSWERED if status == 200 else Outcome.REFUSED)

    run(main())
