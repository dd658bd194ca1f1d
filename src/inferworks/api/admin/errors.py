"""Errors of the admin API: a status, a code for programs and a message for people."""

from __future__ import annotations

import msgspec

from inferworks.errors import InferworksError
from inferworks.http.server import Headers


class ErrorFields(msgspec.Struct, frozen=True):
    """Object in `error`."""

    code: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True):
    """Body of every refusal."""

    error: ErrorFields


class AdminError(InferworksError):
    """A request is refused."""

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.headers = headers
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> bytes:
        """Return the body of the answer."""
        return msgspec.json.encode(ErrorBody(ErrorFields(self.code, self.message)))


def not_found(what: str) -> AdminError:
    """The error of naming what is not there, or is a neighbour's: nobody can tell which."""
    return AdminError(404, "not_found", f"there is no {what[:120]}")


def invalid(message: str) -> AdminError:
    """The error of a request that cannot be read."""
    return AdminError(400, "invalid_request", message)
