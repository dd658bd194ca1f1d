"""User on record as the author of an import, a close or another change of the books."""

from __future__ import annotations

import os
import pwd


def current_user() -> str:
    """Return the user of this process as the operating system knows it, whatever the environment says."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
