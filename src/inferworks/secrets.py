"""Secrets by reference: a configuration holds the location of a key, never the key.

    env:OPENAI_API_KEY          an environment variable
    file:/run/secrets/openai    a file: at most 64 kB of text, less the line break at its end
    keyring:SERVICE/NAME        the system's key store, through the package `keyring`

A `Secret` remembers where it came from and shows only that, in its repr and in every error; `reveal()` is
the one way to its value, and its callers are the credentials that send it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from inferworks.errors import ConfigError
from inferworks.extras import install
from inferworks.files import SECRET_BYTES, read_bytes

_FORMS = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(r"\S.*"),
    "keyring": re.compile(r"[^/]+/.+"),
}
_HOW = "env:VARIABLE, file:PATH or keyring:SERVICE/NAME"


class SecretReference(msgspec.Struct, frozen=True):
    """Location of a secret."""

    scheme: str
    """`env`, `file` or `keyring`."""
    name: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


class Secret:
    """A secret and where it came from. Two are equal when both are."""

    __slots__ = ("_value", "reference")

    def __init__(self, reference: SecretReference, value: str) -> None:
        self.reference = reference
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Secret) and self.reference == other.reference
        return same and isinstance(other, Secret) and self._value == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reference)


def parse_reference(text: str) -> SecretReference:
    """The reference that `text` is. ConfigError otherwise, which does not repeat it: it may be a key."""
    scheme, _, name = text.partition(":")
    form = _FORMS.get(scheme)
    if form is None:
        raise ConfigError(
            f"secrets are not allowed in the configuration file; name where the key is kept: {_HOW}"
        )
    if not form.fullmatch(name):
        raise ConfigError(f"not a reference to a secret; write {_HOW}")
    return SecretReference(scheme, name)


def resolve(reference: SecretReference, environment: Mapping[str, str]) -> Secret:
    """The secret that `reference` points to. ConfigError when it is not there: it names the reference."""
    match reference.scheme:
        case "env":
            if reference.name not in environment:
                raise ConfigError(f"the environment variable {reference.name} is not set")
            value = environment[reference.name].strip()
        case "file":
            path = Path(reference.name).expanduser()
            try:
                value = read_bytes(path, SECRET_BYTES).decode("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is no text"
                raise ConfigError(f"{reference} cannot be read: {why}") from None
        case _:
            value = _from_keyring(reference)
    if not value:
        raise ConfigError(f"{reference} is empty")
    if any(sign in value for sign in "\r\n\0"):
        raise ConfigError(f"{reference} has more than one line; a key is one")
    return Secret(reference, value)


def _from_keyring(reference: SecretReference) -> str:
    service, _, name = reference.name.partition("/")
    try:
        keyring = importlib.import_module("keyring")
    except ModuleNotFoundError:
        raise ConfigError(f"{reference} needs the package keyring: {install('keyring')}") from None
    try:
        value = keyring.get_password(service, name)
    except Exception as error:  # noqa: BLE001 each of its backends has errors of its own
        raise ConfigError(f"{reference} cannot be read: {type(error).__name__}") from None
    if value is None:
        raise ConfigError(f"{reference} is not in the key store")
    return str(value)
