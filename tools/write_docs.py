"""Write generated parts of the documents: settings, providers, and the command line's help.

    python tools/write_docs.py [--check]

A block between `<!-- settings -->`, `<!-- providers -->`, `<!-- facts -->`, `<!-- leaving -->`,
`<!-- metrics -->`, `<!-- setups -->`, `<!-- api -->` or `<!-- help keys create -->` and `<!-- end -->` is
made anew from the code. With `--check` nothing is written and the exit status is 1 if anything
would change.
"""

from __future__ import annotations

import ast
import datetime as dt
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
from click.testing import CliRunner

import inferworks
from inferworks.catalog.facts import FactRow, fact_catalog
from inferworks.catalog.providers import ProviderRow, provider_catalog
from inferworks.cli.main import cli
from inferworks.config import REPEATED, Config, Setting, settings
from inferworks.observe.table import METRICS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"<!-- (settings|providers|facts|leaving|metrics|setups|api|help)( [a-z -]+?)? -->\n.*?<!-- end -->",
    re.DOTALL,
)


def rendered(text: str) -> str:
    """`text` with every block made anew."""
    return _BLOCK.sub(_render, text)


def _render(block: re.Match[str]) -> str:
    kind, words = block.group(1), (block.group(2) or "").split()
    body = help_text(words) if kind == "help" else _TABLES[kind]()
    head = " ".join([kind, *words])
    return f"<!-- {head} -->\n{body}<!-- end -->"


def settings_tables() -> str:
    """Every setting, a table for each section."""
    tables = []
    for section, rows in groupby(settings(), key=lambda setting: setting.name.partition(".")[0]):
        head = "| setting | type | default | what it does |\n|---|---|---|---|\n"
        tables.append(f"## {_title(section)}\n\n{head}{''.join(map(_row, rows))}\n")
    return "\n" + "\n".join(tables)


def _title(section: str) -> str:
    kind = get_type_hints(Config)[section]
    repeated = section in REPEATED
    struct = get_args(kind)[0] if repeated else kind
    name = f"[[{section}]]" if repeated else f"[{section}]"
    return f"`{name}`\n\n{(struct.__doc__ or '').splitlines()[0]}"


def _row(setting: Setting) -> str:
    default = "" if setting.default is None else f"`{setting.default!r}`"
    return f"| `{setting.name}` | {setting.type} | {default} | {setting.help} |\n"


def providers_table() -> str:
    """The row of each provider that holds for good: the newest."""
    head = (
        "| id | name | address | key in | cached tokens | reasoning | its own cost | when a client leaves "
        "| chip |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    return f"\n{head}{''.join(map(_provider, provider_catalog().rows(dt.date.max)))}\n"


def _provider(row: ProviderRow) -> str:
    leave = row.on_leave_source
    why = f"[{row.on_leave}]({leave})" if leave.startswith("https:") else row.on_leave
    cells = (
        f"[`{row.id}`]({row.source})", row.name, f"`{row.url}`" if row.url else "", _code(row.key_variable),
        row.cache, row.reasoning, _code(row.cost_field), why, row.chip,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def leaving_table() -> str:
    """Return the table of providers by `on_leave`."""
    rows = provider_catalog().rows(dt.date.max)
    lines = []
    for policy in ("cancel", "drain", "estimate"):
        ids = ", ".join(f"`{row.id}`" for row in rows if row.on_leave == policy)
        lines.append(f"| `{policy}` | {ids} |\n")
    return f"\n| `on_leave` | providers |\n|---|---|\n{''.join(lines)}\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def metrics_table() -> str:
    """Every metric there is."""
    head = "| metric | kind | labels | what | convention |\n|---|---|---|---|---|\n"
    rows = (
        f"| `{metric.name}` | {metric.kind} | {', '.join(map(_code, metric.labels))} | {metric.help} "
        f"| {_code(metric.convention)} |\n"
        for metric in METRICS
    )
    return f"\n{head}{''.join(rows)}\n"


def facts_table() -> str:
    """Return the table of facts of models: every row, in the order in which a later one overrides."""
    head = "| providers | models | what | since |\n|---|---|---|---|\n"
    return f"\n{head}{''.join(map(_fact, fact_catalog().rows))}\n"


def _fact(row: FactRow) -> str:
    said = "; ".join(f"`{name}` {_fact_value(value)}" for name, value in row.said)
    cells = (
        "" if "*" in row.providers else ", ".join(map(_code, row.providers)),
        ", ".join(map(_code, row.models)) if row.is_of_models else "",
        said,
        f"[{row.effective}]({row.source if ':' in row.source else f'../{row.source}'})",
    )
    return f"| {' | '.join(cells)} |\n"


def _fact_value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value) or "any"


AGENTS = ROOT / "tests" / "clients" / "agents"
_SHOWN = {
    "URL": "http://127.0.0.1:8080/v1",
    "ROOT": "http://127.0.0.1:8080",
    "KEY": "iw_...",
    "MODEL": "gpt-5-mini",
}
"""Variable in a setup -> value shown to readers."""
_LANGUAGES = {"py": "python", "mjs": "js"}
_SETUP = re.compile(r"^ *(?:#|//) setup\n(.*?)^ *(?:#|//) end$", re.DOTALL | re.MULTILINE)
_MODEL_TEXT = re.compile(r'f"([^"]*)\{(?:model|name)\}"')
_MODEL = re.compile(r"(?<=[=(])(?:model|name)(?=[,)])|(?<=: )(?:model|name)(?=[,} ])")


def setups() -> str:
    """Return the setup of each client: the lines that it is tested with."""
    known = tomllib.loads((AGENTS / "clients.toml").read_text(encoding="utf-8"))
    return "\n" + "\n".join(_client_setup(name, client) for name, client in known.items())


def _client_setup(name: str, client: dict[str, Any]) -> str:
    file = client.get("setup")
    path = AGENTS / "setups" / file if file else AGENTS / client["driver"]
    text = path.read_text(encoding="utf-8")
    if file:
        for word, shown in _SHOWN.items():
            text = text.replace(f"<{word}>", shown)
    else:
        found = _SETUP.search(text)
        if found is None:
            raise click.ClickException(f"{path} has no setup")
        text = textwrap.dedent(found.group(1))
        text = _MODEL_TEXT.sub(lambda part: f'"{part[1]}{_SHOWN["MODEL"]}"', text)
        text = _MODEL.sub(f'"{_SHOWN["MODEL"]}"', text)
        text = re.sub(r"\b(URL|ROOT|KEY)\b", lambda word: f'"{_SHOWN[word[1]]}"', text)
    kind = path.suffix[1:]
    packages = " ".join(client.get("pip", client.get("npm")))
    note = f"{client['note']}\n\n" if "note" in client else ""
    return f"**{name}** (`{packages}`)\n\n{note}```{_LANGUAGES.get(kind, kind)}\n{text}```\n"


def public_api() -> str:
    """Each promised name: its signature, its docstring, and the methods it has."""
    names = [name for name in inferworks.__all__ if not name.startswith("_")]
    promised = "\n".join(_described(name, getattr(inferworks, name)) for name in names)
    values = "\n".join(map(_value_type, _value_types(inferworks.Workspace)))
    return f"\n{promised}\n{_VALUES}\n{values}"


_VALUES = """## Values of a workspace

Types that the methods of `Workspace` take and return, with their fields. All are frozen; `_pico` is an
integer of 10^-12 of the currency, `_ns` one of nanoseconds since 1970-01-01 UTC. They are imported from the
module that is named; that module is not promised.
"""


def _value_types(service: type) -> list[type]:
    """Return the values in the signatures of the methods of `service`, and in those of their methods."""
    found = _mentioned(service)
    for one in list(found.values()):
        found |= _mentioned(one)
    return [found[name] for name in sorted(found)]


def _mentioned(owner: type) -> dict[str, type]:
    """Return the structs and named tuples of ours that the public methods of `owner` name, by name."""
    found: dict[str, type] = {}
    for base in owner.__mro__:
        if not base.__module__.startswith("inferworks."):
            continue
        known = _names_in(base.__module__)
        for name, of in vars(base).items():
            made = of.fget if isinstance(of, property) else of
            if not name.startswith("_") and inspect.isfunction(made):
                words = " ".join(map(str, made.__annotations__.values()))
                found |= {
                    kind.__name__: kind
                    for word in re.findall(r"[A-Z]\w+", words)
                    if (kind := known.get(word)) is not None and _fields(kind)
                }
    return {name: kind for name, kind in found.items() if name not in inferworks.__all__}


def _names_in(module: str) -> dict[str, Any]:
    """Return the names that a module's annotations may use, those for type checkers included."""
    loaded = import_module(module)
    known = dict(vars(loaded))
    for node in ast.walk(ast.parse(inspect.getsource(loaded))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inferworks."):
            imported = import_module(node.module or "")
            for alias in node.names:
                if hasattr(imported, alias.name):
                    known.setdefault(alias.asname or alias.name, getattr(imported, alias.name))
    return known


def _fields(kind: object) -> tuple[str, ...]:
    if not inspect.isclass(kind) or not kind.__module__.startswith("inferworks."):
        return ()
    fields: tuple[str, ...] = getattr(kind, "__struct_fields__", getattr(kind, "_fields", ()))
    return fields


def _value_type(kind: type) -> str:
    """Return the fields of a value with their types and docstrings, and its methods."""
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("inferworks.")]
    rows = {name: row for base in ours for name, row in _members(base)}
    head = "| field or method | type | |\n|---|---|---|"
    parts = (f"### `{kind.__name__}`", f"*`{kind.__module__}`*", _prose(inspect.getdoc(kind) or ""))
    return "\n\n".join(parts) + "\n\n" + "\n".join([head, *rows.values()]) + "\n"


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """Yield each public member that the source of `kind` defines, by name, with its row of a table."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    for node, after in pairwise([*body.body, ast.Pass()]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, taken, written = node.target.id, "", ast.unparse(node.annotation)
            said = after.value if isinstance(after, ast.Expr) else None
            about = " ".join(str(said.value).split()) if isinstance(said, ast.Constant) else ""
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            name, written = node.name, ast.unparse(node.returns or ast.Constant(None))
            if not any(ast.unparse(one) == "property" for one in node.decorator_list):
                taken = _signature(getattr(kind, name)).partition(" ->")[0]
            else:
                taken = ""
            about = (ast.get_docstring(node) or "").partition("\n")[0]
        else:
            continue
        cells = (cell.replace("|", "\\|") for cell in (f"`{name}{taken}`", f"`{written}`", about))
        yield name, f"| {' | '.join(cells)} |"


def _described(name: str, thing: Any) -> str:
    kind = "protocol" if getattr(thing, "_is_protocol", False) else "class"
    kind = kind if inspect.isclass(thing) else "function"
    parts = [f"## `{name}`", f"*{kind}, `{thing.__module__}`*"]
    if (
        not (inspect.isclass(thing) and issubclass(thing, Exception | StrEnum))
        and kind != "protocol"
    ):
        parts.append(_fenced(f"{name}{_signature(thing)}", "text"))
    parts.append(_prose(inspect.getdoc(thing) or ""))
    if inspect.isclass(thing) and issubclass(thing, StrEnum):
        parts.append(", ".join(f"`{one.value}`" for one in thing))
    elif inspect.isclass(thing) and not issubclass(thing, Exception):
        ours = [base for base in thing.__mro__ if base.__module__.startswith("inferworks.")]
        members = {name: of for base in reversed(ours) for name, of in vars(base).items()}
        for method, of in members.items():
            made = of.__func__ if isinstance(of, classmethod) else of
            if inspect.isfunction(made) and not method.startswith("_"):
                parts += [f"**`.{method}{_signature(made)}`**", _prose(inspect.getdoc(made) or "")]
    return "\n\n".join(parts) + "\n"


def _signature(thing: Any) -> str:
    """Its parameters without the modules of their types."""
    written = str(inspect.signature(thing)).replace("''", '""').replace("'", "")
    text = re.sub(r"= (?:<.*? at 0x\w+>|\w+\([^()]*\))", "= ...", written)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])|\(self, |\(cls, |\(self\)", _short, text)


def _short(found: re.Match[str]) -> str:
    return {"(self, ": "(", "(cls, ": "(", "(self)": "()"}.get(found.group(), "")


def _prose(text: str) -> str:
    """A docstring with its examples as code."""
    head, mark, examples = text.partition(">>> ")
    return head.strip() + ("\n\n" + _fenced(mark + examples.strip(), "pycon") if mark else "")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


_TABLES = {
    "api": public_api,
    "setups": setups,
    "facts": facts_table,
    "settings": settings_tables,
    "providers": providers_table,
    "leaving": leaving_table,
    "metrics": metrics_table,
}


def help_text(words: list[str]) -> str:
    """Return the output of `inferworks WORDS --help`."""
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="inferworks", terminal_width=80)
    if result.exit_code:
        raise click.ClickException(f"no such command: {' '.join(words)}")
    return f"```text\n$ {' '.join(['inferworks', *words])} --help\n{result.output}```\n"


def stale() -> Iterator[Path]:
    """The documents that the code has outgrown."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if rendered(text) != text:
            yield path


def main() -> None:
    """Write, or check."""
    outdated = list(stale())
    for path in outdated:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(bool(outdated) if "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
