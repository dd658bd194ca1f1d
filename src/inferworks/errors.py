"""Every error this program raises on purpose.

    InferworksError
    ├── UserError               the user can mend it; its text is one line: what, where, what to do
    │   ├── ConfigError         a setting that is unknown, of the wrong type or impossible
    │   ├── DataFolderError     the data folder is in use, unreadable or of another version
    │   ├── LakeError           the lake cannot be read or written, or is not what its manifest says
    │   ├── BillError           a bill line that cannot be accepted; carries file, line and column
    │   └── MoneyError          an amount that is not exact, or of the wrong currency
    ├── CallError               a call that is answered with an error body; carries its HTTP status
    ├── UpstreamError           a place that serves calls failed; carries whether a retry is safe
    ├── JournalError            the journal could not make a record durable
    │   └── RecordError         that one record is at fault, not the disk: the journal goes on
    └── BooksError              an invariant of the books does not hold; a bug or damaged data

Foreign errors are translated into these once, at the seam where they arise.
"""

from __future__ import annotations


class InferworksError(Exception):
    """The root of every deliberate error."""


class UserError(InferworksError):
    """Something the user gave is wrong. The text is one line they can act on."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong type or out of range."""


class DataFolderError(UserError):
    """The data folder cannot be used."""


class LakeError(UserError):
    """The lake cannot be read or written, or is not what its manifest says."""


class MoneyError(UserError):
    """An amount is not exact in picounits, or currencies do not match."""


class BillError(UserError):
    """A bill file has lines that cannot be accepted; the text lists every one of them."""


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


class UpstreamError(InferworksError):
    """An upstream could not be reached, broke off or answered with something unreadable."""

    def __init__(
        self, message: str, *, sent: bool, gave_up: bool = False, unread: bool = False
    ) -> None:
        """`sent` is true when the upstream may have begun the work, so that it may have cost.

        `gave_up` is true when nothing failed: it took too long, and may still be at work. `unread` is true
        when it has most likely read nothing: a kept connection ended just as it was used again.
        """
        super().__init__(message)
        self.sent = sent
        self.gave_up = gave_up
        self.unread = unread


class JournalError(InferworksError):
    """A record could not be made durable; the call it belongs to must not be answered as a success."""


class RecordError(JournalError):
    """A record was refused: its key is taken, or it cannot be stored. The journal itself is sound."""


class BooksError(InferworksError):
    """An invariant of the books is broken."""
