"""Complete reading of the tables of a LiteLLM file: settings not taken over are noted."""

from __future__ import annotations

from collections.abc import Container, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

_WHY = {
    "aws_access_key_id": "AWS's own chain finds it: environment, profile or role",
    "aws_secret_access_key": "AWS's own chain finds it: environment, profile or role",
    "aws_session_token": "AWS's own chain finds it: environment, profile or role",
    "aws_profile_name": "set AWS_PROFILE where the platform is started",
    "vertex_credentials": "set GOOGLE_APPLICATION_CREDENTIALS where the platform is started",
    "database_url": "not needed: everything is in the data folder",
    "redis_host": "not needed: no state is shared", "redis_port": "not needed: no state is shared",
    "redis_password": "not needed: no state is shared", "redis_url": "not needed: no state is shared",
    "master_key": "make keys with: inferworks keys create",
    "mode": "not needed: the path of a request says it",
    "additional_drop_params": "no counterpart: a caller of the upstream's own dialect is passed as it is",
    "stream_timeout": "set first_byte_s or between_bytes_s by hand",
    "context_window_fallbacks": "no counterpart: a prompt that is too long is refused",
    "content_policy_fallbacks": "no counterpart: a refused prompt is refused",
    "include": "read by no command: import each of these files too",
    "cache": "no counterpart: answers are not kept", "cache_params": "no counterpart: answers are not kept",
    "success_callback": "no counterpart: every call is in the journal, traces go to OpenTelemetry",
    "failure_callback": "no counterpart: every call is in the journal, traces go to OpenTelemetry",
    "callbacks": "no counterpart: every call is in the journal, traces go to OpenTelemetry",
}  # fmt: skip
"""Reasons not to take a setting over, where there is more to say than that it has no counterpart."""

IN_ENVIRONMENT = "os.environ/"
"""Prefix of a value that stands in an environment variable."""
_LARGEST = 10**12
_NAMED = 4
"""Most models named in a note."""


class Notes:
    """Notes about settings, each setting once, with the models whose entries have it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, setting: str, why: str = "", model: str = "") -> None:
        """Tell of `setting`, which is in the entry of `model`; without a reason of the usual one."""
        why = why or _WHY.get(setting.rpartition(".")[2], "no counterpart")
        models = self._found.setdefault((setting, why), {})
        if model:
            models[model] = None

    def lines(self) -> tuple[str, ...]:
        """Return the notes, in order, one line each."""
        lines = []
        for (setting, why), models in self._found.items():
            named = ", ".join(list(models)[:_NAMED])
            more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
            lines.append(f"{setting}{f' ({named}{more})' if models else ''}: {why}")
        return tuple(lines)


class Table:
    """Table of the file, from which each setting is taken once; the rest has no counterpart."""

    def __init__(
        self, name: str, document: Mapping[str, Any], notes: Notes, model: str = ""
    ) -> None:
        given = document.get(name)
        self._name = name
        self._model = model
        if given is not None and not isinstance(given, dict):
            notes.add(name, "not a table; set it by hand")
        self._left = {str(k): v for k, v in given.items()} if isinstance(given, dict) else {}
        self._notes = notes

    def take(self, name: str) -> Any:
        """The setting, or None."""
        return self._left.pop(name, None)

    def expand(self, environment: Mapping[str, str], *, but: Container[str]) -> None:
        """Substitute environment variables, but for some; missing ones are noted."""
        for name, value in list(self._left.items()):
            if name in but or not isinstance(value, str) or not value.startswith(IN_ENVIRONMENT):
                continue
            variable = value.removeprefix(IN_ENVIRONMENT)
            self._left[name] = environment.get(variable)
            if variable not in environment:
                self.note(name, f"{variable} is not set here; write it by hand")

    def text(self, name: str) -> str:
        """The setting as text; empty when it is not there."""
        value = self.take(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> Decimal | None:
        """The setting as a number from 0 on; None, with a note, when it is something else."""
        value = self.take(name)
        if value is None:
            return None
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("nan")
        if number.is_finite() and 0 <= number <= _LARGEST:
            return number
        self.note(name, "no number that can be taken; set it by hand")
        return None

    def count(self, name: str) -> int | None:
        """The setting as a whole number from 0 on; None, with a note, when it is something else."""
        number = self.number(name)
        if number is None or number == int(number):
            return None if number is None else int(number)
        self.note(name, "no whole number; set it by hand")
        return None

    def flag(self, name: str) -> bool:
        """The setting as yes or no; no, with a note, when it is something else."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.note(name, "neither true nor false; set it by hand")
        return value is True

    def names(self, name: str) -> list[str]:
        """Return the setting as a list of names; other values in it are noted."""
        value = self.take(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, str) for item in items):
            self.note(name, "not only names; the others are left out")
        return [item for item in items if isinstance(item, str)]

    def table(self, name: str) -> dict[str, Any]:
        """The setting as a table; empty, with a note, when it is something else."""
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            self.note(name, "not a table; set it by hand")
        return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}

    def lists(self, name: str) -> dict[str, list[str]]:
        """The setting as lists by name: one table, or several."""
        value = self.take(name)
        tables = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(table, dict) for table in tables):
            self.note(name, "no table of lists; set it by hand")
        inner = Table(
            name,
            {name: {k: v for t in tables if isinstance(t, dict) for k, v in t.items()}},
            self._notes,
        )
        return {str(key): inner.names(key) for key in inner.left()}

    def left(self) -> list[str]:
        """Return the settings that were not taken."""
        return list(self._left)

    def note(self, name: str, why: str) -> None:
        """Tell of a setting that was taken."""
        self._notes.add(f"{self._name}.{name}", why, self._model)

    def rest(self) -> None:
        """Note every setting that was not taken."""
        for name in self.left():
            if self._left[name] is not None:
                self._notes.add(f"{self._name}.{name}", model=self._model)
