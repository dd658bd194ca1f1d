"""The author of a change as the operating system knows it."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from inferworks.accounts.author import process_author


def test_the_author_is_not_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and host of the process, whose rights nobody limits."""
    for name in ("USER", "LOGNAME", "HOSTNAME"):
        monkeypatch.setenv(name, "mallory")
    author = process_author("command line")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert author.who == f"{user}@{socket.gethostname()}"
    assert (author.origin, author.member) == ("command line", None)
