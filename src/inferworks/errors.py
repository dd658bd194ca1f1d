"""Every error this program raises on purpose.

    InferworksError
    ├── UserError               the user can correct it; its text is one line: what, where, what to do
    │   ├── ConfigError         a setting that is unknown, of the wrong type or impossible
    │   │   └── ExtraError      a package that a setting or command needs is not installed
    │   ├── DataFolderError     the data folder is in use, unreadable or of another version
    │   │   ├── DamagedError    a file of it is not what was written
    │   │   ├── NewerStoreError a store was laid out by a newer version of this program
    │   │   └── SharedAccountsError  accounts that gateways share cannot be read or changed now
    │   ├── LakeError           the lake cannot be read or written, or is not what its manifest says
    │   ├── ShippingError       records cannot be shipped to the hub, or taken from a node
    │   ├── BillError           a bill line that cannot be accepted; carries file, line and column
    │   │   └── NoBillError     a file that is nothing the books read
    │   └── MoneyError          an amount that is not exact, or of the wrong currency
    ├── CallError               a call that is answered with an error body; carries its HTTP status
    ├── UpstreamError           a place that serves calls failed; carries whether a retry is safe
    │   ├── UnreadableError     it has answered, and nobody can read that
    │   ├── RefusalError        it tells of an error where an answer should be; carries a status
    │   └── UntranslatableError it has answered, and we cannot put that in its caller's words
    ├── JournalError            the journal cannot make a record durable now
    │   └── RecordError         that one record is at fault, not the disk: the journal goes on
    ├── LimitsError             the store of limits cannot be reached now
    └── BooksError              an invariant of the books does not hold; a bug or damaged data

Foreign errors are translated into these once, at the seam where they arise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from inferworks.redact import redacted


class InferworksError(Exception):
    """The root of every deliberate error."""


class UserError(InferworksError):
    """Something the user gave is wrong. The text is one line they can act on, and shows no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(redacted(message))


class ConfigError(UserError):
    """A setting is unknown, of the wrong type or out of range."""


class ExtraError(ConfigError):
    """A package that a setting or a command needs, and every installation does not have, is missing."""


class Mistakes:
    """Collector of mistakes, so that all of them are told at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @contextmanager
    def noted(self, setting: str = "") -> Iterator[None]:
        """Go on after the block where a ConfigError ends it; it is about `setting`, if one is named."""
        try:
            yield
        except ConfigError as error:
            self.texts.append(f"{setting}: {error}" if setting else str(error))

    def refuse(self) -> None:
        """ConfigError where there are any: one in one line, several in a line each below their number."""
        if self.texts:
            several = f"{len(self.texts)} mistakes:"
            text = self.texts[0] if len(self.texts) == 1 else "\n  ".join([several, *self.texts])
            raise ConfigError(text)


class DataFolderError(UserError):
    """The data folder cannot be used."""


class DamagedError(DataFolderError):
    """Data on disk that differs from what was written there."""


class NewerStoreError(DataFolderError):
    """A store was laid out by a newer version of this program."""


class SharedAccountsError(DataFolderError):
    """Accounts that gateways share cannot be read or changed now; nothing was changed unless it says so."""


class LakeError(UserError):
    """The lake cannot be read or written, or is not what its manifest says."""


class ShippingError(UserError):
    """Records cannot be shipped to the hub; only people can mend it."""


class MoneyError(UserError):
    """An amount is not exact in picounits, or currencies do not match."""


class BillError(UserError):
    """A bill file has lines that cannot be accepted; the text lists every one of them."""


class NoBillError(BillError):
    """A file is nothing that the books read: in a folder of bills it is passed over and listed."""


class CallError(InferworksError):
    """A call is refused or failed, in the caller's terms.

    `status` is the HTTP status; `kind`, `code` and `param` are the fields of OpenAI's error body.
    `retry_after_s` is when to try again, where that is known.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param

    @property
    def is_callers(self) -> bool:
        """True if the request is at fault, and neither we nor an upstream."""
        return self.kind == "invalid_request_error"


class MethodError(CallError):
    """A path exists and does not take the method of a request."""

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        """`allowed` are the methods that the path takes."""
        super().__init__(405, message, code="method_not_supported")
        self.allowed = tuple(allowed)


class UpstreamError(InferworksError):
    """An upstream could not be reached, broke off or answered with something unreadable."""

    def __init__(
        self,
        message: str,
        *,
        sent: bool,
        gave_up: bool = False,
        unread: bool = False,
        ours: bool = False,
        answered: bool = False,
    ) -> None:
        """`sent` is true when the upstream may have begun the work, so that it may have cost.

        `gave_up` is true when nothing failed: it took too long, and may still be at work. `unread` is true
        when it has most likely read nothing: a kept connection ended just as it was used again. `ours` is
        true when it was never tried, since this machine has no descriptor, port or memory left for it.
        `answered` is true when an answer came, or the beginning of one, that cannot be used.
        """
        super().__init__(message)
        self.sent = sent
        self.worked = False
        """True if the upstream has done the work."""
        self.gave_up = gave_up
        self.unread = unread
        self.ours = ours
        self.answered = answered
        self.reported: Any = None
        """Usage reported before the failure (a `meter.reported_usage.ReportedUsage`); None if none was."""


class UnreadableError(UpstreamError):
    """An upstream has answered, so it has done the work, and the answer cannot be read."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the answer cannot be read: {why}", sent=True, answered=True)
        self.worked = True


class RefusalError(UpstreamError):
    """Error in the answer of an upstream that said 200.

    `status` is the status it should have sent, `body` the error in its own dialect, `words` its message.
    """

    def __init__(self, status: int, body: bytes, words: str = "") -> None:
        super().__init__(
            f"the answer is an error of status {status}" + (f": {words[:200]}" if words else ""),
            sent=True,
        )
        self.status = status
        self.body = body
        self.words = words


class UntranslatableError(UpstreamError):
    """An upstream has answered, and we cannot put that in the words of its caller: a failure of ours."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the answer cannot be translated: {why}", sent=True, answered=True)
        self.worked = True


class JournalError(InferworksError):
    """A record cannot be made durable now; the call it belongs to must not be answered as a success."""


class RecordError(JournalError):
    """A record was refused: its key is taken, or it cannot be stored. The journal itself is sound."""


class LimitsError(InferworksError):
    """The store of limits cannot be reached now, or cannot keep a change; nothing was changed."""


class BooksError(InferworksError):
    """An invariant of the books is broken."""
