"""The calls that are made and the answers that are expected, the same for every gateway."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

MODEL = "m"
CONTENT = "All work is counted once, and every count adds up. " * 6
ANSWER = json.dumps(
    {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": CONTENT},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 66, "total_tokens": 86},
    },
    separators=(",", ":"),
)
"""Answer of the mock upstream to every whole (not streamed) call: about half a kilobyte."""

SMALL_PROMPT = "hi " * 40
LARGE_PROMPT = "In the beginning was the ledger, and all of it was read aloud. " * 1600
"""100 kB."""


@dataclass(frozen=True)
class Target:
    """Target of calls: a port of this machine, and the gateway's requirements for requests."""

    port: int
    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        """Return the URL of the target."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The headers of a call, beside its length."""
        return (("host", "127.0.0.1"), ("content-type", "application/json"), *self.headers)

    def body(self, prompt: str, *, stream: bool = False) -> str:
        """The body of a call."""
        messages = [{"role": "user", "content": prompt}]
        call: dict[str, object] = {"model": self.model, "messages": messages}
        return json.dumps({**call, "stream": True} if stream else call)

    def request(self, prompt: str, *, stream: bool = False) -> bytes:
        """The bytes of a call."""
        body = self.body(prompt, stream=stream).encode()
        fields = (*self.fields(), ("content-length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body


def is_whole(status: int, body: bytes) -> bool:
    """Return whether this is the mock's answer, complete; a gateway may have rewritten it."""
    if status != HTTPStatus.OK:
        return False
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return False
    return bool(content == CONTENT)
