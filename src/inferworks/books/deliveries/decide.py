"""What a file of a known delivery is: the same again, a longer one, a further part, or a question.

Problem. Exports grow from day to day, come in parts, are written anew with other amounts, and are sent
twice. A program that always adds counts money twice; one that always replaces loses it.

Decision. What is certain is done, and anything else is asked, with the amount under each answer. Certain
is, of a part that arrives and those that are in force for the same time:

- the same lines: a *duplicate*, whatever their form and order, and also of a part that stood once;
- fewer lines, and all there were for the time that they cover: an *older* copy of a growing file;
- those lines and more: the *next revision*;
- every line again, perhaps with another amount, and further days: the next revision of an export of the
  month to date; and the other way round an older one;
- no time that another part covers: a *further part*. So is a file whose name says so (`part-00002`,
  `export-00002`, beside another of the same name), one whose lines are about nothing that a
  line there is about, and one whose lines are all on numbered invoices of their own and say nothing
  else about what a line there is about.

A file that a manifest names (`bills/manifests.py`) is part of a run of its export, and says so: the newest
run takes the place of all earlier ones, whatever their parts, and an earlier one that comes late is older.

Whatever is certain is so in any order of arrival: of two revisions the one that reaches further is the
newer, and not the one that came last. (Theorem 16.)

Everything here is a function of what `Compare` tells; the lines themselves stay in the database.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

_PART = re.compile(
    r"(?P<before>.*?)"
    r"(?P<number>(?<![a-z])part[-_ ]?(?:\d{1,5}|[a-z])|(?<=[-_.])0\d{4,5}|(?<![a-z0-9])0\d{11})"
    r"(?P<after>(?:[-_. ].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}(?:-c\d+)?|tid-\d+-\d+-\d+", re.IGNORECASE)
"""What Spark and its like put into the name of each part."""


class Answer(StrEnum):
    """What a person says of a file that overlaps another."""

    PART = "part"
    REPLACE = "replace"


class Fate(StrEnum):
    """What became of a part that arrived."""

    NEW = "new"
    PART = "part"
    REVISION = "revision"
    DUPLICATE = "duplicate"
    OLDER = "older"


class Part(NamedTuple):
    """One file's lines of one delivery."""

    number: int
    """Negative while it arrives."""
    digest: int
    """The same for the same lines."""
    lines: int
    spans: tuple[tuple[int, int], ...]
    """The time that its lines cover, in nanoseconds: disjoint and in order."""
    series: str
    """What it has in common with the other parts of one export; empty when its name tells of none."""
    place: str
    """Which of them it is; of a run of an export: when it ran, its id and the number, each on a line."""
    invoices: tuple[str, ...] = ("",)
    """The numbers of the invoices that its lines are on; empty is that of lines which are on none yet."""
    in_force: bool = True

    @property
    def start_ns(self) -> int:
        """Where its time begins."""
        return self.spans[0][0]

    @property
    def end_ns(self) -> int:
        """Where its time ends."""
        return self.spans[-1][1]

    @property
    def run(self) -> tuple[str, str] | None:
        """When the run was that it is a part of, empty when not known, and its id; None of no run."""
        told = self.place.split("\n")
        return (told[0], told[1]) if len(told) == 3 else None

    @property
    def ran(self) -> str:
        """When the run was that it is a part of, as a text that sorts; empty when that is not known."""
        return self.run[0] if self.run else ""


class Alike(NamedTuple):
    """How the lines of some parts, the one side, compare with those of others, as multisets."""

    common: int
    one: int
    other: int
    one_restates: bool
    """Whether the one side has a line about everything that a line of the other is about."""
    other_restates: bool
    apart: bool
    """Whether no line of the one side is about what a line of the other is about."""
    restated: bool
    """Whether a line of the one side says otherwise about what a line of the other is about."""


class Compare(Protocol):
    """Looks up the lines of parts."""

    def alike(self, one: Sequence[Part], other: Sequence[Part]) -> Alike:
        """How the lines of `one` compare with those of `other`."""
        ...

    def within(self, parts: Sequence[Part], start_ns: int, end_ns: int) -> int:
        """How many lines of `parts` lie within that time."""
        ...


class Named(NamedTuple):
    """`Compare` of a delivery that does not grow: a voucher, somebody's pay for a month, an asset.

    Nothing is certain of it but that it is the same again.
    """

    lines: Compare

    def alike(self, one: Sequence[Part], other: Sequence[Part]) -> Alike:
        """The same lines, or nothing that can be told."""
        found = self.lines.alike(one, other)
        same = found.common == found.one == found.other
        return found if same else Alike(0, found.one, found.other, False, False, False, True)

    def within(self, parts: Sequence[Part], start_ns: int, end_ns: int) -> int:
        """As of any other delivery."""
        return self.lines.within(parts, start_ns, end_ns)


class Step(NamedTuple):
    """What is to be done: `parts` take the place of `replaced`, or stand beside what is there."""

    fate: Fate
    parts: tuple[Part, ...]
    replaced: tuple[Part, ...] = ()


class Question(NamedTuple):
    """What cannot be told: whether `parts` stand beside `overlap` or in its place."""

    parts: tuple[Part, ...]
    overlap: tuple[Part, ...]


Verdict = Step | Question


def series_of(folder: str, name: str) -> tuple[str, str]:
    """Of which export a file is a part by its name, and which part; both empty when it does not say."""
    stem = _RANDOM.sub("", name)
    match = _PART.fullmatch(stem)
    if match is None:
        return "", ""
    after = re.sub(
        r"(\.(csv|jsonl|json|ndjson|parquet|gz|snappy|zst|zip))+$", "", match["after"].lower()
    )
    return f"{folder}\n{match['before']}\n{after}", match["number"].lower()


def merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The time that `spans` cover together: disjoint, in order."""
    found: list[tuple[int, int]] = []
    for start_ns, end_ns in sorted(spans):
        if found and start_ns <= found[-1][1]:
            found[-1] = found[-1][0], max(end_ns, found[-1][1])
        else:
            found.append((start_ns, end_ns))
    return tuple(found)


def meet(one: Part, other: Part) -> bool:
    """Whether both cover some moment."""
    ours, theirs = iter(one.spans), iter(other.spans)
    mine, yours = next(ours, None), next(theirs, None)
    while mine and yours:
        if mine[1] <= yours[0]:
            mine = next(ours, None)
        elif yours[1] <= mine[0]:
            yours = next(theirs, None)
        else:
            return True
    return False


def decide(
    arriving: Sequence[Part],
    known: Sequence[Part],
    compare: Compare,
    answer: Answer | None = None,
) -> list[Verdict]:
    """What becomes of the `arriving` parts of one delivery, given together, beside all those `known`.

    `known` are also parts that are in force no more. An `answer` decides what would be a question; what is
    certain stays so.
    """
    reruns, arriving = _reruns(arriving, known, compare)
    verdicts, fresh = _among(arriving, compare, answer)
    verdicts = [*reruns, *verdicts]
    gone = {part for verdict in reruns if isinstance(verdict, Step) for part in verdict.replaced}
    there = [part for part in known if part.in_force and part not in gone]
    if not fresh:
        return verdicts
    if not there:
        return [*verdicts, Step(Fate.NEW, tuple(fresh))]
    together = _whole(fresh, there, compare) if len(fresh) > 1 else None
    if together is not None:
        return [*verdicts, together]
    asked: list[Question] = []
    for part in fresh:
        found = _one(part, there, known, compare, answer if len(arriving) == 1 else None)
        if isinstance(found, Question):
            asked.append(found)
            continue
        verdicts.append(found)
        if found.fate in (Fate.PART, Fate.REVISION):
            there = [old for old in there if old not in found.replaced] + [part]
    if asked and answer is Answer.REPLACE:
        overlap = {old for question in asked for old in question.overlap if old.number >= 0}
        parts = tuple(part for question in asked for part in question.parts)
        return [*verdicts, Step(Fate.REVISION, parts, tuple(sorted(overlap)))]
    if answer is Answer.PART:
        return [*verdicts, *(Step(Fate.PART, question.parts) for question in asked)]
    return [*verdicts, *asked]


def _reruns(
    arriving: Sequence[Part], known: Sequence[Part], compare: Compare
) -> tuple[list[Verdict], list[Part]]:
    """What is certain of parts of runs of which it is known when they were; and all other parts."""
    done: list[Verdict] = []
    rest = [part for part in arriving if not part.ran]
    for series in dict.fromkeys(part.series for part in arriving if part.ran):
        parts = [part for part in arriving if part.ran and part.series == series]
        before = [old for old in known if old.ran and old.series == series]
        newest = max(part.ran for part in (*parts, *before))
        ours = tuple(part for part in parts if part.ran == newest)
        done += [Step(Fate.OLDER, (part,)) for part in parts if part.ran < newest]
        earlier = tuple(old for old in before if old.in_force and old.ran < newest)
        if not (ours and earlier):
            rest += ours
            continue
        alike = compare.alike(ours, earlier)
        if alike.common == alike.one == alike.other:
            done.append(Step(Fate.DUPLICATE, ours))
        else:
            done.append(Step(Fate.REVISION, ours, earlier))
    return done, rest


def _among(
    arriving: Sequence[Part], compare: Compare, answer: Answer | None
) -> tuple[list[Verdict], list[Part]]:
    """What the parts given together are to each other, and those of them that stand."""
    done: list[Verdict] = []
    standing: list[Part] = []
    for part in sorted(arriving, key=lambda part: (part.end_ns, part.lines, part.digest)):
        verdict = _beside(part, standing, compare, together=True)
        if isinstance(verdict, Question) and answer is Answer.PART:
            verdict = Step(Fate.PART, (part,))
        if isinstance(verdict, Question) or verdict.fate in (Fate.DUPLICATE, Fate.OLDER):
            done.append(verdict)
        else:
            gone = verdict.replaced
            done += [Step(Fate.OLDER, (other,)) for other in gone]
            standing = [other for other in standing if other not in gone] + [part]
    return done, standing


def _whole(fresh: Sequence[Part], there: Sequence[Part], compare: Compare) -> Step | None:
    """What all of `fresh` are as one, where that is the same or more than what is there."""
    is_named = isinstance(compare, Named)
    overlap = tuple(old for old in there if is_named or any(meet(old, part) for part in fresh))
    if any(_is_of_its_own(part, overlap) for part in fresh):
        return None
    if not overlap:
        return Step(Fate.PART, tuple(fresh))
    alike = compare.alike(fresh, overlap)
    if alike.common == alike.one == alike.other:
        return Step(Fate.DUPLICATE, tuple(fresh))
    further = max(p.end_ns for p in fresh) > max(p.end_ns for p in overlap)
    if alike.common == alike.other or (further and alike.one_restates):
        return Step(Fate.REVISION, tuple(fresh), overlap)
    return None


def _one(
    part: Part,
    there: Sequence[Part],
    known: Sequence[Part],
    compare: Compare,
    answer: Answer | None,
) -> Verdict:
    """What a part becomes beside those that are there; `answer` is of a command that names no other."""
    again = [old for old in known if _same(part, old)]
    if again and (answer is not Answer.REPLACE or any(old.in_force for old in again)):
        return Step(Fate.DUPLICATE, (part,))
    verdict = _beside(part, there, compare, together=False)
    if answer is Answer.REPLACE and verdict == Step(Fate.OLDER, (part,)):
        overlap = tuple(old for old in there if meet(old, part))
        return Step(Fate.REVISION, (part,), overlap)
    return verdict


def _beside(part: Part, there: Sequence[Part], compare: Compare, *, together: bool) -> Verdict:
    """What `part` is beside those that are there."""
    others = [old for old in there if not _siblings(part, old)]
    namesake = [old for old in there if part.series == old.series != "" and part.place == old.place]
    is_named = isinstance(compare, Named)
    overlap = tuple(old for old in others if is_named or meet(old, part))
    if not overlap:
        return Step(Fate.PART if there else Fate.NEW, (part,))
    alike = compare.alike([part], overlap)
    if _is_of_its_own(part, overlap) and not alike.restated:
        return Step(Fate.PART, (part,))
    if alike.common == alike.one:
        if alike.common == alike.other:
            return Step(Fate.DUPLICATE, (part,))
        end_ns = max(old.end_ns for old in overlap)
        within = compare.within(overlap, part.start_ns, part.end_ns)
        if part.series or part.end_ns < end_ns or within == alike.one:
            return Step(Fate.OLDER, (part,))
        return Question((part,), overlap)
    end_ns = max(old.end_ns for old in overlap)
    if alike.common == alike.other or (part.end_ns > end_ns and alike.one_restates):
        return Step(Fate.REVISION, (part,), overlap)
    if part.end_ns < end_ns and alike.other_restates:
        return Step(Fate.OLDER, (part,))
    if not together and namesake and not is_named and not _beyond(part, namesake, overlap, compare):
        return Step(Fate.REVISION, (part,), tuple(namesake))
    longer = _longer(part, overlap, compare)
    if longer:
        return Step(Fate.REVISION, (part,), longer)
    if not alike.common and alike.apart:
        return Step(Fate.PART, (part,))
    return Question((part,), overlap)


def _beyond(
    part: Part, namesake: Sequence[Part], overlap: Collection[Part], compare: Compare
) -> bool:
    """Whether a file that takes the place of its `namesake` overlaps anything else."""
    rest = [old for old in overlap if old not in namesake]
    return bool(rest) and bool(compare.alike([part], rest).common)


def _longer(part: Part, overlap: Sequence[Part], compare: Compare) -> tuple[Part, ...]:
    """Those of several parts that `part` repeats, where it shares nothing with the others."""
    if len(overlap) < 2:
        return ()
    within = []
    for old in overlap:
        alike = compare.alike([part], [old])
        if alike.common == alike.other:
            within.append(old)
        elif alike.common or not alike.apart:
            return ()
    return tuple(within)


def _siblings(one: Part, other: Part) -> bool:
    """Whether two are different parts of one export, and of one run of it, by their names."""
    same = bool(one.series) and one.series == other.series and one.run == other.run
    return same and one.place != other.place


def _is_of_its_own(part: Part, others: Iterable[Part]) -> bool:
    """Whether all lines are on numbered invoices, and none of `part` on one that the others are on."""
    invoices = {invoice for old in others for invoice in old.invoices}
    return bool(invoices) and not {"", *part.invoices} & invoices and "" not in part.invoices


def _same(part: Part, old: Part) -> bool:
    """Whether these lines came before, as this part."""
    return (
        part.digest == old.digest
        and part.lines == old.lines
        and not (_siblings(part, old) or _is_of_its_own(part, [old]))
    )
