"""Golden files of each endpoint: its reading of a request, and its refusal of one.

`chat.completions.in.json` is a request with everything in it, `.out.json` what the house knows of it then
(what is not said is left out); `chat.completions.wrong.in.json` is one that is refused, its `.out.json` the
body of the refusal. Doors for forms with files have tests of their own.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from inferworks.api.app import FORMS
from inferworks.api.wire.base import EndpointSpec
from inferworks.errors import CallError

GOLDEN = Path(__file__).parents[2] / "golden" / "doors"
FILES = sorted(GOLDEN.glob("*.in.json"))
DOORS: dict[str, EndpointSpec] = {str(form.operation): form for form in FORMS.values()}


def door_of(path: Path) -> EndpointSpec:
    """The door that a file is for."""
    return DOORS[path.name.removesuffix(".in.json").removesuffix(".wrong")]


def read(path: Path) -> bytes:
    """JSON of the facts read from a request, or the body of its refusal."""
    form = door_of(path)
    try:
        asked = msgspec.structs.asdict(form.decode(path.read_bytes(), b"application/json"))
        if asked["choices"] == 1:
            del asked["choices"]
        return msgspec.json.encode({name: value for name, value in asked.items() if value})
    except CallError as error:
        return form.errors.body(error, "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".in.json"))
def test_golden(path: Path) -> None:
    """Each request is understood, or refused, as the file beside it says."""
    wanted = path.with_name(path.name.replace(".in.", ".out.")).read_bytes()
    assert msgspec.json.decode(read(path)) == msgspec.json.decode(wanted)


def test_there_are_files_for_every_door() -> None:
    """Every door that reads JSON alone is shown with a good request and a wrong one."""
    reading = {name for name, form in DOORS.items() if form.request and not form.fields}
    shown = {path.name.removesuffix(".in.json") for path in FILES}
    assert shown == reading | {f"{name}.wrong" for name in reading}
