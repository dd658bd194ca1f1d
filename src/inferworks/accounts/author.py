"""Author of a change: on record beside each, and the rights by which it is made.

A store of accounts is opened for writing with its author, so that no method takes one and none can forget
it.
"""

from __future__ import annotations

import os
import pwd
import socket

import msgspec

from inferworks.accounts.member import Member


class Author(msgspec.Struct, frozen=True):
    """Author of the changes that are made through an open store."""

    who: str
    """Id of a member, or user and host of a process."""
    origin: str
    """Place that the changes come from: the command line, the admin API and an address."""
    member: Member | None = None
    """Member whose role and scope limit the changes; None for who has the files themselves."""


def process_author(origin: str = "process") -> Author:
    """Return the user of this process, who has the files and so may do anything with them."""
    return Author(f"{current_user()}@{socket.gethostname()}", origin)


def current_user() -> str:
    """Return the user of this process as the operating system knows it, whatever the environment says."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
