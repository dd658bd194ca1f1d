"""Departments: the bearers of costs whose use no meter can measure.

Problem. No meter measures the use of a salary, a rent or a licence. Without a department it can only be
cost of revenue by default, and the gross margin bears the sales team.

Decision. There are eleven departments, and every policy assigns a function to each, as to every purpose
(theorem 9): a policy that leaves one out is refused. A company maps its own department names to them
(`books.departments`). A charge keeps the name that its file gave it; the name is mapped to a department
when a statement is built, and the mapping is sealed with the rules of a closed period. An unknown name is
an error that lists near names, never a default.

Rejected. A function on the charge itself (the bill would decide what the policy must decide); departments
defined freely in a policy (other policies would not know them).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from inferworks.books.charge import Charge
from inferworks.errors import BooksError, ConfigError
from inferworks.purpose import Purpose


class Department(StrEnum):
    """Department of the operator's company."""

    OPERATIONS = "operations"
    """Infrastructure, data halls, repairs: running the service."""
    SUPPORT = "support"
    """Customer service."""
    RESEARCH = "research"
    """Development of the next model."""
    ENGINEERING = "engineering"
    """Development of the product."""
    SALES = "sales"
    MARKETING = "marketing"
    FINANCE = "finance"
    PEOPLE = "people"
    """Human resources."""
    LEGAL = "legal"
    OFFICE = "office"
    """Rent, furniture and supplies that the whole company shares."""
    MANAGEMENT = "management"


_OTHER_NAMES: Mapping[str, Department] = {
    "infrastructure": Department.OPERATIONS,
    "customer-support": Department.SUPPORT,
    "r&d": Department.RESEARCH,
    "hr": Department.PEOPLE,
    "human-resources": Department.PEOPLE,
}
"""Further names of departments."""
_NEAR = 3


class Departments(msgspec.Struct, frozen=True):
    """The company's departments by name, and the tags of a bill's resources that name them."""

    own: Mapping[str, Department] = {}
    """The company's own names; each means one of `Department`."""
    tags: tuple[str, ...] = ()
    """Keys in FOCUS's Tags; the first that a line has names its department."""

    def find(self, name: str) -> Department | None:
        """The department called `name`; None when there is none such."""
        folded = folded_name(name)
        known = self.own.get(folded) or _OTHER_NAMES.get(folded)
        return known or (Department(folded) if folded in set(Department) else None)

    def named_by(self, charge: Charge) -> str | None:
        """Return the department as `charge` names it, in a column of its own or a tag; None if nowhere."""
        if charge.department or not self.tags:
            return charge.department
        tags = tags_of(dict(charge.other).get("Tags", ""))
        return next((tags[key] for key in self.tags if tags.get(key)), None)

    def placed(self, charge: Charge) -> Charge:
        """Return `charge` with the department that its name means. BooksError when there is none such."""
        name = self.named_by(charge)
        if name is None:
            return charge
        department = self.find(name)
        if department is None:
            raise BooksError(f"{charge.file}, line {charge.row}: {self.unknown(name)}")
        return msgspec.structs.replace(charge, department=department.value)

    def unknown(self, name: str) -> str:
        """Return an error text: `name` is no department; with the nearest names."""
        known = sorted({*Department, *_OTHER_NAMES, *self.own})
        return (
            f"there is no department {name!r}{_near(folded_name(name), known)}; name one of "
            f"{', '.join(Department)}, or say which of them it is in books.departments"
        )

    def unknown_activity(self, name: str) -> str:
        """Return an error text: `name` is no activity; with the nearest names."""
        known = [*Purpose, *sorted({*Department, *_OTHER_NAMES, *self.own} - set(Purpose))]
        return (
            f"there is no activity {name!r}{_near(folded_name(name), known)}; an activity is a purpose "
            f"({', '.join(Purpose)}) or a department"
        )


SHIPPED = Departments()
"""Departments without names of the company's own."""


def read_departments(named: Iterable[str], tags: Iterable[str]) -> Departments:
    """The departments that a configuration names, each as `own name=department`, and the tags.

    ConfigError when one of them means no department, or a name is listed twice.
    """
    own: dict[str, Department] = {}
    for text in named:
        name, _, meant = text.rpartition("=")
        department = SHIPPED.find(meant)
        if not name.strip() or department is None:
            raise ConfigError(
                f'books.departments: {text!r}: write it as in "growth=marketing", with one of '
                f"{', '.join(Department)}"
            )
        if own.setdefault(folded_name(name), department) is not department:
            raise ConfigError(f"books.departments: {name.strip()!r} is listed twice")
    return Departments(dict(sorted(own.items())), tuple(tags))


def folded_name(name: str) -> str:
    """A department's name as it is compared: `Human Resources` is `human-resources`."""
    return "-".join(name.casefold().replace("_", " ").split())


def tags_of(text: str) -> dict[str, str]:
    """FOCUS's Tags, an object or a list of pairs as JSON; empty when `text` is neither.

    A pair is two texts, or an object of a `key` and a `value`, as Google Cloud writes labels.
    """
    try:
        tags = json.loads(text)
        pairs = (
            tags.items()
            if isinstance(tags, dict)
            else [(tag["key"], tag["value"]) if isinstance(tag, dict) else tag for tag in tags]
        )
        return {str(key): value.strip() for key, value in pairs if isinstance(value, str)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), _NEAR)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
