"""Redaction: addresses and messages without the secrets that stand in them.

Keys are kept by reference (`secrets`), and still people write them where they do not belong: a password
into an address, a token into its query, a key into the name of a model. Text from a configuration is
redacted before it is shown. A `UserError` does so by itself.

Masked are the user information of an address (`http://me:pass@host`), its query, and words with the form
of a key. Redaction is incomplete: a password that looks like a word, standing alone, cannot be told from
one.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

# an address that was taken for a path has lost a slash
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,20}://?)(?P<rest>[^\s'\"`<>\\]*)")
_KEY = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(?:(?:sk|pk|rk|iw|hf|gsk|xai|nvapi|pplx|r8|fw|ghp|gho|ghs|github_pat|glpat|xox[abprs]|whsec|SG)[-_.]"
    r"|AIza|AKIA|ASIA|eyJ)"
    r"[A-Za-z0-9_.+/=-]{12,}"
)


def redacted(text: str) -> str:
    """Return `text` with `***` in place of anything that looks like a secret."""
    text = _ADDRESS.sub(_without_login, text)
    return _KEY.sub(MASK, text)


def _without_login(address: re.Match[str]) -> str:
    rest, sign, _ = address["rest"].partition("?")
    _, at, place = rest.rpartition("@")
    return f"{address['scheme']}{MASK + '@' if at else ''}{place}{sign}{MASK if sign else ''}"
