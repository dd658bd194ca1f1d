"""The pepper of the accounts of a data folder, as configured."""

from __future__ import annotations

from collections.abc import Mapping

from inferworks.accounts.pepper import Pepper, RecordsPepper, load_pepper
from inferworks.config import Config
from inferworks.folder import DataFolder
from inferworks.secrets import parse_reference, resolve


def pepper_of(
    accounts: RecordsPepper, folder: DataFolder, config: Config, environment: Mapping[str, str]
) -> Pepper:
    """Return the pepper under which the keys of `accounts` are hashed; made with the first key.

    ConfigError or DataFolderError when it cannot be had, or is not theirs.
    """
    reference = config.gateway.key_pepper
    secret = resolve(parse_reference(reference), environment) if reference else None
    return load_pepper(accounts, folder.pepper, secret)
