"""Calls that are no chats, and stages for them: pictures, speech, transcriptions.

    @pytest.mark.parametrize("work", WORKS, ids=lambda work: work.call.operation)
    @pytest.mark.parametrize("check", EVERYWHERE)
    def test_contract(work, check): asyncio.run(check(work.stage))

The required parts of an answer stand beside each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import PassthroughProvider, Profile
from inferworks.cloud.providers.stability import STABILITY
from inferworks.cloud.providers.stub import Script
from inferworks.http.multipart import form_of
from inferworks.ids import CallId
from inferworks.meter.usage import NO_ITEMS, Items, Tokens
from inferworks.testing.providers import A_MODEL, Stage, scripted, staged
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.audio import HEARD_TOKENS, recording
from inferworks.testing.upstreams.images import DRAWN_TOKENS, PICTURE, SEEN_TOKENS

BOUNDARY = b"a-boundary-of-tests"
FORM_TYPE = b"multipart/form-data; boundary=" + BOUNDARY
_OPENAI = Profile("openai", openai_operations())


@dataclass(frozen=True, slots=True)
class Work:
    """One call, with the usage of its answer when the script has two words and 9 input tokens."""

    call: Call
    tokens: Tokens
    items: Items
    profile: Profile = _OPENAI

    def stage(self, script: Script) -> AbstractAsyncContextManager[Stage]:
        """Return its provider, over HTTP to a fake upstream that follows `script`."""
        return staged(
            script,
            open_upstream(scripted(Answer, script, first_events=0)),
            lambda client: PassthroughProvider(client, self.profile, NoCredential()),
            call_of=lambda **_: self.call,
        )


def json_call(operation: Operation, fields: Mapping[str, object], *, stream: bool = False) -> Call:
    """Make a call whose body is JSON."""
    body = {"model": A_MODEL, **({"stream": True} if stream else {}), **fields}
    return Call(
        CallId("call_1"), operation, A_MODEL, stream, wants_usage=False, body=msgspec.json.encode(body)
    )  # fmt: skip


def form_call(
    operation: Operation,
    fields: dict[str, str],
    *,
    file: tuple[str, bytes] | None = None,
    stream: bool = False,
) -> Call:
    """Make a call whose body is a form, with one file if there is one."""
    given = {**fields, **({"stream": "true"} if stream else {})}
    body = form_of(list(given.items()), BOUNDARY)
    if file is not None:
        body = _with_file(body, *file)
    return Call(
        CallId("call_1"), operation, A_MODEL, stream, wants_usage=False, body=body,
        content_type=FORM_TYPE,
    )  # fmt: skip


def _with_file(form: bytes, name: str, content: bytes) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'
    end = b"--" + BOUNDARY + b"--\r\n"
    return b"".join(
        (form.removesuffix(end), b"--" + BOUNDARY + b"\r\n", head.encode(), content, b"\r\n", end)
    )


_SPEECH = {"input": "Hi!", "voice": "alloy"}
_EDIT = {"model": A_MODEL, "prompt": "A hat."}
_HEARD = Tokens(HEARD_TOKENS, 2, input_audio=HEARD_TOKENS)

WORKS: tuple[Work, ...] = (
    Work(
        json_call(Operation.IMAGES, {"prompt": "A cat.", "n": 2}),
        Tokens(9, 2 * DRAWN_TOKENS, output_image=2 * DRAWN_TOKENS),
        Items(images=2),
    ),
    Work(
        json_call(Operation.IMAGES, {"prompt": "A cat.", "partial_images": 1}, stream=True),
        Tokens(9, DRAWN_TOKENS, output_image=DRAWN_TOKENS),
        Items(images=1),
    ),
    Work(
        form_call(Operation.IMAGE_EDITS, _EDIT, file=("image", PICTURE)),
        Tokens(
            9 + SEEN_TOKENS, DRAWN_TOKENS, input_image=SEEN_TOKENS, output_image=DRAWN_TOKENS
        ),
        Items(images=1),
    ),
    Work(
        msgspec.structs.replace(json_call(Operation.SPEECH, _SPEECH), stream=True),
        Tokens(),
        Items(characters=3),
    ),
    Work(
        msgspec.structs.replace(
            json_call(Operation.SPEECH, {**_SPEECH, "stream_format": "sse"}), stream=True
        ),
        Tokens(9, 2, output_audio=2),
        Items(characters=3),
    ),
    Work(
        form_call(Operation.TRANSCRIPTIONS, {"model": A_MODEL}, file=("file", recording(10))),
        _HEARD,
        NO_ITEMS,
    ),
    Work(
        form_call(
            Operation.TRANSCRIPTIONS, {"model": A_MODEL}, file=("file", recording(10)), stream=True
        ),
        _HEARD,
        NO_ITEMS,
    ),
    Work(
        form_call(Operation.STABLE_IMAGE, {"prompt": "A cat.", "model": A_MODEL}),
        Tokens(),
        Items(images=1),
        STABILITY,
    ),
)  # fmt: skip
"""One call of each operation and each way to be answered."""
