"""A configuration as the text of an `inferworks.toml`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from inferworks.config import REPEATED, Config, Section


def config_toml(config: Config, *, everything: bool = False) -> str:
    """Return `config` as TOML that reads back the same: differences from the defaults, or everything."""
    tables = []
    for name in Config.__struct_fields__:
        value = getattr(config, name)
        if name in REPEATED:
            tables += [_table(f"[[{name}]]", _changed(item)) for item in value]
        else:
            fields = msgspec.structs.asdict(value) if everything else _changed(value)
            tables += [_table(f"[{name}]", fields)] if fields else []
    return "\n".join(tables)


def upstreams_toml(upstreams: Iterable[Section]) -> str:
    """`[[upstream]]` tables to paste."""
    return "\n".join(_table("[[upstream]]", _changed(upstream)) for upstream in upstreams)


def _changed(section: Section) -> Mapping[str, Any]:
    """The fields of `section` that are not at their default."""
    values = msgspec.structs.asdict(section)
    defaults = {field.name: field.default for field in msgspec.structs.fields(section)}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _table(head: str, fields: Mapping[str, Any]) -> str:
    lines = (f"{name} = {_value(value)}\n" for name, value in fields.items())
    return "".join((f"{head}\n", *lines))


def _value(value: Any) -> str:
    """A TOML value. JSON's strings, all but one sign, numbers and booleans are TOML's too."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value).items()
        return f"{{ {', '.join(f'{name} = {_value(field)}' for name, field in fields)} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
