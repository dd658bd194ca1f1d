"""A first draft of a mapping for an unknown file, for a person to read and finish.

A draft may guess, since a person reads it: columns are chosen by the words in their names and by the form
of their cells. Each line shows the cells found; a missing column stands there as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from inferworks.books.bills.columns import KINDS
from inferworks.books.bills.mapping import UNKNOWN
from inferworks.books.bills.spelling import NOTHING, Sort, looks_like
from inferworks.visible import visible

_SHOWN: Final = 3
_LONGEST_SHOWN: Final = 40
_WORDS: Final[Mapping[str, Sequence[str]]] = {
    "BilledCost": ("billed cost", "cost", "amount", "net", "charge", "spend", "total", "price"),
    "BillingCurrency": ("currency",),
    "ChargePeriodStart": (
        "period start", "usage start", "start", "from", "begin", "date", "day", "created", "time",
    ),
    "ChargePeriodEnd": ("period end", "usage end", "end", "to", "until", "finish"),
    "InvoiceIssuerName": ("issuer", "vendor", "supplier", "provider"),
    "InvoiceId": ("invoice id", "invoice number", "invoice no", "invoice"),
    "ChargeDescription": ("description", "line item", "item", "details", "memo"),
    "ServiceName": ("service", "product"),
    "ResourceId": ("resource", "instance", "machine", "pod", "node", "host", "server", "vm"),
    "RegionId": ("region", "location", "datacenter"),
    "SkuId": ("sku", "plan", "model", "gpu"),
    "BillingAccountId": ("account",),
    "SubAccountId": ("project", "workspace", "team"),
    "ConsumedQuantity": ("quantity", "usage amount", "usage", "hours", "units"),
    "ConsumedUnit": ("unit",),
    "person": ("person", "employee", "user", "member", "name"),
    "start": ("start", "from", "begin", "date", "day"),
    "end": ("end", "to", "until", "finish"),
    "minutes": ("minutes", "duration", "hours", "time spent", "seconds"),
    "node": ("node", "machine", "project"),
    "activity": ("activity", "task"),
    "department": ("department", "team", "cost center"),
    "pay": ("pay", "cost", "wage"),
    "currency": ("currency",),
    "sheet": ("sheet", "week"),
    "gross": ("gross", "salary", "wage", "earnings", "pay"),
    "employer_cost": ("employer", "taxes", "contributions"),
    "bucket": ("bucket", "container", "volume"),
    "bytes": ("bytes", "size", "storage"),
    "purpose": ("purpose",),
    "customer": ("customer", "end user", "tenant", "team", "user"),
    "id": ("request id", "id", "uuid"),
    "provider": ("provider", "vendor"),
    "model": ("model",),
    "input_tokens": ("prompt tokens", "input tokens", "input"),
    "output_tokens": ("completion tokens", "output tokens", "output"),
    "told_cost": ("cost", "spend", "amount"),
}  # fmt: skip
"""The words that the name of a column has, the best first; a column is used once."""
_UNITS: Final = (
    ("cents", "cents"), ("millicents", "millicents"), ("micro", "micro"), ("micros", "micro"),
    ("hours", "hours"), ("hrs", "hours"), ("h", "hours"), ("seconds", "seconds"), ("sec", "seconds"),
    ("ms", "milliseconds"), ("gb", "GB"), ("gib", "GiB"), ("tb", "TB"), ("tib", "TiB"), ("mb", "MB"),
)  # fmt: skip
_KINDS: Final = (
    ("payroll", ({"gross", "salary", "payroll"},)),
    ("timesheet", ({"employee", "person", "user", "member"}, {"hours", "duration", "minutes"})),
    ("usage", ({"model"}, {"tokens"}, {"request", "id"})),
    ("storage", ({"bucket"}, {"bytes", "size"})),
)
"""The kinds that a file is likely of whose columns have one word of each of these sets."""
_CONSTANTS: Final = {
    "sheet": '"sheet"  # what names the sheet, such as a week; the same sheet counts once',
    "purpose": '"serve-paid"  # what it was used for',
}
"""The constant texts of our columns that a file without them is likely to mean."""
_CURRENCIES: Final = frozenset({
    "USD", "EUR", "GBP", "JPY", "CNY", "INR", "CAD", "AUD", "CHF", "SEK", "NOK", "DKK", "PLN", "BRL",
})  # fmt: skip


class Column(NamedTuple):
    """A column of the file: its name, the words in it, and the first of its cells that have a text."""

    name: str
    words: tuple[str, ...]
    examples: tuple[str, ...]

    def is_a(self, sort: Sort | None) -> bool:
        """Return True if most of its cells look like a column of this sort: some may be of totals."""
        alike = [text for text in self.examples if sort is None or looks_like(text, sort)]
        return sort is None or 2 * len(alike) > len(self.examples)

    def fits(self, sort: Sort | None) -> bool:
        """Return True if its cells could be of this sort, also as seconds since 1970 or durations."""
        if (sort is Sort.MOMENT and self.epoch) or (sort is Sort.NUMBER and self.is_duration):
            return True
        if sort is Sort.NUMBER and self.is_a(Sort.MOMENT):
            return False  # 01.11.2026 could be a number, too
        return self.is_a(sort)

    @property
    def epoch(self) -> str:
        """The unit of moments that are numbers since 1970; empty where they are none such."""
        lengths = {len(text) for text in self.examples if text.isdigit() and text[0] == "1"}
        if lengths and all(text.isdigit() for text in self.examples):
            return {10: "unix", 13: "unix_ms", 16: "unix_us"}.get(lengths.pop(), "")
        return ""

    @property
    def is_duration(self) -> bool:
        """Return True if its cells are durations such as 1:30:00."""
        pattern = re.compile(r"\d+:\d\d(:\d\d)?")
        return bool(self.examples) and all(map(pattern.fullmatch, self.examples))


def draft(name: str, header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """A mapping, in TOML, for the file `name` with these columns, by what its first rows look like."""
    columns: list[Column] = []
    for column in filter(None, header):
        texts = (row.get(column, "").strip() for row in rows)
        examples = list(dict.fromkeys(text for text in texts if text not in NOTHING))
        split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
        words = tuple(re.findall(r"[a-z0-9]+", split.lower()))
        columns.append(Column(column, words, tuple(examples[:50])))
    said = {word for column in columns for word in column.words}
    kind = next((kind for kind, some in _KINDS if all(said & words for words in some)), "bill")
    lines = [
        f"# A draft for {visible(name)}, by the names of its columns and its first {len(rows)} rows.",
        "# Read every line, complete what is missing, then:",
        "#   inferworks books import --mapping THIS-FILE FILE",
        "",
        f"title = {_quoted(name)}",
        f"kind = {_quoted(kind)}  # {', '.join(KINDS)}",
        "",
        "[columns]",
    ]
    used, constants = set[str](), dict[str, str]()
    lines += _mapped_columns(kind, columns, used, constants)
    lines += ["", "[constants]", *(f"{target} = {text}" for target, text in constants.items())]
    rest = [column.name for column in columns if column.name not in used]
    if rest:
        lines += ["", "# Not used, and kept beside each line:"]
        lines += [f"#   {visible(name)}" for name in rest]
    lines += [
        "",
        "# Rows that are no lines of their own, such as totals:",
        "# [[leave_out]]",
        f"# column = {_quoted(header[0] if header else 'name')}",
        '# is = ["Total"]',
    ]
    return "\n".join(lines) + "\n"


def _mapped_columns(
    kind_name: str, columns: Sequence[Column], used: set[str], constants: dict[str, str]
) -> Iterator[str]:
    """A line for each of our columns; fills in what is `used` and what is constant."""
    kind = KINDS[kind_name]
    needed = [*kind.required, *kind.one_of[:1]]
    for target in dict.fromkeys((*needed, *kind.one_of, *kind.empty, *kind.optional)):
        sort = kind.sorts.get(target)
        free = [c for c in columns if c.name not in used and c.fits(sort)]
        best = (c for name in _WORDS.get(target, ()) for c in free if {*name.split()} <= {*c.words})
        column = next(best, None)
        if column is None and target in ("ChargePeriodEnd", "end"):
            start = next((c for c in columns if c.name in used and c.is_a(Sort.MOMENT)), None)
            if start is not None:
                yield _line(target, start, sort, plus="1 day") + "  # or the column that says it"
                continue
        if column is None and target in needed and sort in (Sort.NUMBER, Sort.MOMENT):
            # an amount usually stands last, and the day that a line is for first
            column = next(reversed(free) if sort is Sort.NUMBER else iter(free), None)
            if column is not None:
                used.add(column.name)
                yield f"{_line(target, column, sort)}: by what is in it; is it this?"
                continue
        if column is not None:
            used.add(column.name)
            yield _line(target, column, sort)
        elif target in needed:
            unknown = f"{_quoted(UNKNOWN)}  # missing: no column looks like it"
            constants[target] = _CONSTANTS.get(target, unknown)
            if sort is Sort.CURRENCY:
                named = {word.upper() for c in columns for word in c.words} & _CURRENCIES
                if len(named) == 1:
                    constants[target] = f"{_quoted(named.pop())}  # by the name of a column"
    for target in list(constants):
        if constants[target].startswith(_quoted(UNKNOWN)):
            yield f"# {target} is missing: name its column here, or what it always is under [constants]"


def _line(target: str, column: Column, sort: Sort | None, plus: str = "") -> str:
    """A line of the draft, with what stands in the column."""
    told = {"column": column.name}
    unit = next((unit for word, unit in _UNITS if word in column.words), "")
    if sort is Sort.MOMENT:
        unit = column.epoch
    elif sort is not Sort.NUMBER:
        unit = ""
    elif column.is_duration:
        unit = "h:mm:ss"
    elif target not in ("minutes", "bytes") and unit not in ("cents", "millicents", "micro"):
        unit = ""
    told |= {"unit": unit} if unit else {}
    told |= {"plus": plus} if plus else {}
    parts = ", ".join(f"{name} = {_quoted(text)}" for name, text in told.items())
    value = _quoted(column.name) if len(told) == 1 else f"{{ {parts} }}"
    shown = ", ".join(text[:_LONGEST_SHOWN] for text in column.examples[:_SHOWN])
    return f"{target} = {value}" + ("" if plus else f"  # {visible(shown)}")


def _quoted(text: str) -> str:
    """`text` as a TOML string, with nothing in it that cannot be seen."""
    letters = (
        f"\\{one}" if one in '"\\' else one if visible(one) == one else f"\\U{ord(one):08x}"
        for one in text
    )
    return f'"{"".join(letters)}"'
