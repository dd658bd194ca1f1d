"""Policy: the function of a cost, from its use, its natural class and its behaviour.

Policies are TOML files one can read and copy. A policy is a *total* function with no default branch
(theorem 9): loading one that leaves a combination out, or decides one twice, is an error that lists
every such combination, so that a new purpose can never be misfiled in silence.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from itertools import chain, product
from pathlib import Path
from typing import TypeAlias

import msgspec

from inferworks.books.accounting.basis import Basis
from inferworks.books.allocation.allocate import Target
from inferworks.books.allocation.departments import Department
from inferworks.books.allocation.drivers import Unused
from inferworks.books.allocation.pools import Behaviour
from inferworks.books.charge import COST_OF_REVENUE, Function, NaturalClass
from inferworks.errors import ConfigError
from inferworks.files import text_of
from inferworks.misfit import misfit
from inferworks.purpose import Purpose

Combination: TypeAlias = tuple[str, NaturalClass, Behaviour]
"""A use (`serve-paid`, `unused:idle`, `unallocated`), a natural class and a cost behaviour."""

GAAP, MARGINAL, FULL = "gaap", "marginal", "full"
"""The policies that ship: three views of the same money."""

USES = (
    *(Target(purpose=purpose).use for purpose in Purpose),
    *(Target(department=department).use for department in Department),
    *(Target(unused=kind).use for kind in Unused),
    Target(unallocated="").use,
)
"""Every use that a part of a charge can have."""

COMBINATIONS = frozenset(product(USES, NaturalClass, Behaviour))
"""Combinations (use, natural class, behaviour) to which every policy assigns a function."""


class Policy(msgspec.Struct, frozen=True):
    """A named, total function from `Combination` to function, and a view. Made by `read_policy`."""

    name: str
    title: str
    functions: Mapping[Combination, Function]
    included: tuple[Function, ...] = COST_OF_REVENUE
    """The functions whose sum the view sets against revenue."""
    margin: str = "Gross margin"
    """Caption of revenue less the included functions."""
    refines: str = ""
    """The shipped policy whose cost of revenue this one only takes apart; empty for none."""
    basis: Basis = Basis.CASH
    """Basis of costs; policies sealed before there was a choice are on the cash basis."""

    def function(self, use: str, natural_class: NaturalClass, behaviour: Behaviour) -> Function:
        """The function of what was bought as `natural_class`, behaves so and was used for `use`."""
        return self.functions[use, natural_class, behaviour]


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    uses: tuple[str, ...]
    function: Function
    reason: str
    natural_classes: tuple[NaturalClass, ...] = ()
    behaviours: tuple[Behaviour, ...] = tuple(Behaviour)


class _PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    natural_classes: tuple[NaturalClass, ...]
    rule: tuple[_Rule, ...]
    included: tuple[Function, ...] = COST_OF_REVENUE
    margin: str = "Gross margin"
    refines: str = ""
    basis: Basis = Basis.ACCRUAL


def read_policy(text: str, name: str) -> Policy:
    """The policy in the TOML `text` of the file `name`.

    ConfigError when it does not parse, names an unknown use, or is not a total function.
    """
    try:
        tables = tomllib.loads(text)
        file = msgspec.convert(tables, _PolicyFile)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"policy {name}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"policy {name}: {misfit(error, tables, _PolicyFile)}") from error
    unknown_uses = {use for rule in file.rule for use in rule.uses} - set(USES)
    _refuse("names uses that do not exist", name, sorted(unknown_uses))
    functions: dict[Combination, Function] = {}
    twice: list[Combination] = []
    for rule in file.rule:
        classes = rule.natural_classes or file.natural_classes
        for combination in product(rule.uses, classes, rule.behaviours):
            if combination in functions:
                twice.append(combination)
            functions[combination] = rule.function
    _refuse("decides more than once", name, map(_combination_text, twice))
    missing: dict[str, list[str]] = defaultdict(list)
    for combination in product(USES, NaturalClass, Behaviour):
        if combination not in functions:
            missing[combination[0]].append(_combination_text(combination))
    for use, texts in missing.items():
        if len(texts) == len(NaturalClass) * len(Behaviour):
            missing[use] = [use]  # alone, if all of it is out
    _refuse("does not decide", name, chain.from_iterable(missing.values()))
    view = (file.included, file.margin, file.refines, file.basis)
    return Policy(file.name, file.title, functions, *view)


def load_policy(name: str, folder: Path | None = None) -> Policy:
    """The policy that ships as `name`, else `name`.toml in `folder`, else the file at the path `name`.

    ConfigError when there is none, when it is not total, or when it does not refine what it says.
    """
    if name in shipped_policies():
        return _shipped_policy(name)
    beside = folder / f"{name}.toml" if folder is not None else None
    path = beside if beside is not None and beside.is_file() else Path(name)
    if not path.exists():
        raise ConfigError(
            f"policy {name!r} not found: choose {', '.join(shipped_policies())}, or the path of a policy "
            "file (TOML)"
        )
    return _faithful(read_policy(text_of(path, "policy", ConfigError), name))


def completed(policy: Policy) -> Policy:
    """`policy` as it was sealed, with the uses that there were not yet: those as its base has them.

    So what comes late for a period that was closed before there were departments has a function.
    """
    missing = set(USES) - {use for use, _, _ in policy.functions}
    if not missing:
        return policy
    base = next(name for name in (policy.name, policy.refines, GAAP) if name in shipped_policies())
    added = {key: f for key, f in _shipped_policy(base).functions.items() if key[0] in missing}
    return msgspec.structs.replace(policy, functions={**policy.functions, **added})


def base_of(policy: Policy) -> Policy:
    """The shipped policy that `policy` refines; ConfigError when it names none that ships."""
    if policy.refines not in shipped_policies():
        raise ConfigError(
            f"policy {policy.name} refines {policy.refines!r}: name one of "
            f"{', '.join(shipped_policies())}"
        )
    return _shipped_policy(policy.refines)


@cache
def shipped_policies() -> tuple[str, ...]:
    """The names of the policies that ship, in order."""
    entries = resources.files("inferworks.books.accounting").joinpath("policies").iterdir()
    names = (e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml"))
    return tuple(sorted(names))


def unfaithful(policy: Policy, base: Policy) -> list[Combination]:
    """Return the combinations in which `policy` departs from `base`; empty if it refines it."""
    return [
        combination
        for combination, function in policy.functions.items()
        if _caption(function) != _caption(base.functions[combination])
    ]


def _caption(function: Function) -> Function:
    """The function, with the lines of cost of revenue taken together."""
    return Function.COST_OF_REVENUE if function in COST_OF_REVENUE else function


@cache
def _shipped_policy(name: str) -> Policy:
    """The policy that ships as `name`; read once, for every statement is checked against two of them."""
    file = resources.files("inferworks.books.accounting").joinpath("policies", f"{name}.toml")
    return _faithful(read_policy(file.read_text("utf-8"), name))


def _faithful(policy: Policy) -> Policy:
    """Return `policy`. ConfigError when it departs from the policy that it refines."""
    if policy.refines:
        base = base_of(policy)
        fault = f"refines {base.name} but decides otherwise"
        _refuse(fault, policy.name, map(_combination_text, unfaithful(policy, base)))
    return policy


def _combination_text(combination: Combination) -> str:
    use, natural_class, behaviour = combination
    return f"{use} x {natural_class.value} x {behaviour.value}"


def _refuse(fault: str, name: str, items: Iterable[str]) -> None:
    listed = ", ".join(items)
    if listed:
        raise ConfigError(f"policy {name} {fault}: {listed}")
