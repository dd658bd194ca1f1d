"""Golden files of each endpoint for forms: its reading of a form, and its refusal of one.

`images.edits.in.form` is a form as it stands on the wire, its boundary `golden`, and `.out.json` what the
house knows of it then (what is not said is left out); `images.edits.wrong.in.form` is one that is refused,
its `.out.json` the body of the refusal.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from inferworks.api.app import FORMS
from inferworks.api.wire.base import EndpointSpec
from inferworks.cloud.operation import Operation
from inferworks.errors import CallError

GOLDEN = Path(__file__).parents[2] / "golden" / "forms"
FILES = sorted(GOLDEN.glob("*.in.form"))
TYPE = b"multipart/form-data; boundary=golden"


def name_of(path: str, form: EndpointSpec) -> str:
    """An operation, and where it has several paths the end of this one."""
    is_painting = form.operation is Operation.STABLE_IMAGE
    return f"{form.operation}.{path.rpartition('/')[2]}" if is_painting else str(form.operation)


DOORS = {name_of(path, form): form for path, form in FORMS.items() if form.fields}


def read(path: Path) -> bytes:
    """JSON of the facts read from a form, or the body of its refusal."""
    form = DOORS[path.name.removesuffix(".in.form").removesuffix(".wrong")]
    try:
        asked = msgspec.structs.asdict(form.decode(path.read_bytes(), TYPE))
        if asked["choices"] == 1:
            del asked["choices"]
        return msgspec.json.encode({name: value for name, value in asked.items() if value})
    except CallError as error:
        return form.errors.body(error, "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".in.form"))
def test_golden(path: Path) -> None:
    """Each form is understood, or refused, as the file beside it says."""
    wanted = path.with_name(path.name.replace(".in.form", ".out.json")).read_bytes()
    assert msgspec.json.decode(read(path)) == msgspec.json.decode(wanted)


def test_there_are_files_for_every_door() -> None:
    """Every door that reads forms is shown with a good one, and every kind of them with a wrong one."""
    shown = {path.name.removesuffix(".in.form") for path in FILES}
    assert shown >= DOORS.keys()
    wrong = {name.removesuffix(".wrong") for name in shown if name.endswith(".wrong")}
    assert {DOORS[name].operation for name in wrong} == {form.operation for form in DOORS.values()}
