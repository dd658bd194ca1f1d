"""Decision on a file of a known delivery: the same again, a longer one, a further part, or a question.

Problem. Exports grow from day to day, come in parts, are written anew with other amounts, and are sent
twice. A program that always adds counts money twice; one that always replaces loses it.

Decision. Certain cases are handled, and any other is a question, with the amount under each answer.
Certain are, for an arriving part and those in force for the same time:

- the same lines: a *duplicate*, whatever their form and order, also of a part that was in force once;
- all lines that are here of its days: an *older* copy of an export that grew since; so is a file that
  begins like the existing part and has the same lines up to its last day, of which it may have fewer, and
  never more;
- those lines and more: the *next revision*;
- every line again from the beginning, perhaps with another amount, and further days: the next revision of
  an export of the month to date;
- no time that another part covers: a *further part*. So is a file whose name says so (`part-00002`,
  `export-00002`, beside another of the same name), one whose lines are about nothing that a
  line there is about, and one whose lines are all on numbered invoices of their own, unless it charges
  otherwise for all that one of the invoices there is about: that may be its new issue.

A line with another amount is never dropped: it is a correction, a credit, a further charge or a mistake,
and only a person can tell which. Where amounts differ, a given answer takes precedence over the certain
cases. A credit in place of a charge restates nothing.

To *replace* is to take the place of all lines here from the first to the last moment of the file's own
lines, in whatever parts; lines outside that time stay. Files that are given together replace together the
time of each. Rejected: to replace the parts that overlap (parts are cut anew with each run, and what a
file does not cover would be gone with them), or the whole billing period (a file of three corrected days
is no month).

A file that a manifest names (`bills/manifests.py`) is part of a known run of its export: the newest run
takes the place of all earlier ones, whatever their parts, and an earlier one that comes late is older.

Certain cases have the same result in any order of arrival: of two revisions the one that reaches further
is the newer, and not the one that came last. (Theorem 16.)

Everything here is a function of the answers of `Compare`; the lines themselves stay in the database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from inferworks.books.deliveries.parts import (
    Part,
    Spans,
    are_siblings,
    is_of_its_own,
    meet,
    reach,
)


class Answer(StrEnum):
    """Answer of a person about a file that overlaps another."""

    PART = "part"
    REPLACE = "replace"


class Fate(StrEnum):
    """Fate of a part that arrived."""

    NEW = "new"
    PART = "part"
    REVISION = "revision"
    DUPLICATE = "duplicate"
    OLDER = "older"


class Alike(NamedTuple):
    """Comparison of the lines of some parts, the one side, with those of others, as multisets."""

    common: int
    one: int
    other: int
    one_restates: bool
    """True if the one side has a line about every subject of a line of the other."""
    other_restates: bool
    apart: bool
    """True if no line of the one side has the subject of a line of the other."""
    restated: bool
    """True if a line of the one side states other values about the subject of a line of the other."""


class Compare(Protocol):
    """Looks up the lines of parts."""

    def alike(self, one: Sequence[Part], other: Sequence[Part]) -> Alike:
        """Compare the lines of `one` with those of `other`."""
        ...

    def within(self, parts: Sequence[Part], start_ns: int, end_ns: int) -> int:
        """Return the number of lines of `parts` within that time."""
        ...

    def to_date(self, older: Sequence[Part], newer: Sequence[Part]) -> bool:
        """Return True if `older` is an earlier state of an export of the month to date, now `newer`."""
        ...

    def same_way(self, one: Sequence[Part], other: Sequence[Part]) -> bool:
        """Return True if neither side has a credit where the other has a charge."""
        ...

    def is_apart(self, part: Part, within: Sequence[Part], rest: Sequence[Part]) -> bool:
        """Return True if no line of `part` beyond `within` has the subject of a line of `rest`."""
        ...

    def reissues(self, part: Part, others: Sequence[Part]) -> bool:
        """Return True if `part` charges for everything that one of the invoices of `others` is about."""
        ...


class Named(NamedTuple):
    """`Compare` of a delivery that does not grow: a voucher, somebody's pay for a month, an asset.

    The only certain case is a duplicate.
    """

    lines: Compare

    def alike(self, one: Sequence[Part], other: Sequence[Part]) -> Alike:
        """Return a full match for the same lines, else none."""
        found = self.lines.alike(one, other)
        same = found.common == found.one == found.other
        return found if same else Alike(0, found.one, found.other, False, False, False, True)

    def within(self, parts: Sequence[Part], start_ns: int, end_ns: int) -> int:
        """Return the number of lines, as for any other delivery."""
        return self.lines.within(parts, start_ns, end_ns)

    def to_date(self, older: Sequence[Part], newer: Sequence[Part]) -> bool:
        """Return False: it does not grow."""
        return False

    def same_way(self, one: Sequence[Part], other: Sequence[Part]) -> bool:
        """Return False: credits and charges are not compared."""
        return False

    def is_apart(self, part: Part, within: Sequence[Part], rest: Sequence[Part]) -> bool:
        """Return False: subjects are not compared."""
        return False

    def reissues(self, part: Part, others: Sequence[Part]) -> bool:
        """Return True: any part with other values counts as a new issue."""
        return True


class Step(NamedTuple):
    """Action to take: `parts` take the place of `replaced`, or stand beside the existing parts."""

    fate: Fate
    parts: tuple[Part, ...]
    replaced: tuple[Part, ...] = ()
    spans: Spans = ()
    """Time in which lines are replaced, with those of the same subject; empty is all of `replaced`."""


class Question(NamedTuple):
    """Question to a person: whether `parts` stand beside `overlap` or in its place."""

    parts: tuple[Part, ...]
    overlap: tuple[Part, ...]


Verdict = Step | Question


def decide(
    arriving: Sequence[Part],
    known: Sequence[Part],
    compare: Compare,
    answer: Answer | None = None,
) -> list[Verdict]:
    """Return the verdicts on the `arriving` parts of one delivery, given together, beside all `known`.

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
    together = _whole(fresh, there, compare, answer) if len(fresh) > 1 else None
    if together is not None:
        return [*verdicts, together]
    if answer is Answer.REPLACE:
        answered = _instead(fresh, there, known, compare)
        if answered:
            return [*verdicts, *answered]
    for part in fresh:
        found = _one(part, there, known, compare, answer)
        if isinstance(found, Question) and answer is Answer.PART:
            found = Step(Fate.PART, (part,))
        verdicts.append(found)
        if isinstance(found, Step) and found.fate in (Fate.PART, Fate.REVISION):
            there = [old for old in there if old not in found.replaced] + [part]
    return verdicts


def _reruns(
    arriving: Sequence[Part], known: Sequence[Part], compare: Compare
) -> tuple[list[Verdict], list[Part]]:
    """Return the verdicts on parts of runs whose time is known; and all other parts."""
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
    """Return the verdicts of parts given together on each other, and the parts that remain."""
    done: list[Verdict] = []
    standing: list[Part] = []
    for part in sorted(arriving, key=lambda part: (part.end_ns, part.lines, part.digest)):
        verdict = _beside(part, standing, compare, answer, together=True)
        if isinstance(verdict, Question) and answer is Answer.PART:
            verdict = Step(Fate.PART, (part,))
        if isinstance(verdict, Question) or verdict.fate in (Fate.DUPLICATE, Fate.OLDER):
            done.append(verdict)
        else:
            gone = verdict.replaced
            done += [Step(Fate.OLDER, (other,)) for other in gone]
            standing = [other for other in standing if other not in gone] + [part]
    return done, standing


def _instead(
    fresh: Sequence[Part], there: Sequence[Part], known: Sequence[Part], compare: Compare
) -> list[Step]:
    """Let parts of `fresh` with other values replace the existing ones; none where none differs.

    A user's answer to replace overrides the file's name. It also overrides, for a file given alone, that
    its lines have no subject in common with those here: names change, too.
    """
    is_named = isinstance(compare, Named)
    spans = reach(fresh)
    alone = len(fresh) == 1 and not is_named and any(meet(old.spans, spans) for old in there)
    asked = False
    beside: list[Step] = []
    ours: list[Part] = []
    for part in fresh:
        found = _one(part._replace(series="", place=""), there, known, compare, Answer.REPLACE)
        if isinstance(found, Step) and found.fate in (Fate.NEW, Fate.PART) and not alone:
            beside.append(Step(found.fate, (part,)))
        else:
            ours.append(part)
            asked |= isinstance(found, Question) or found.fate in (Fate.OLDER, Fate.PART)
    if not asked:
        return []
    spans = reach(ours)
    over = tuple(old for old in there if is_named or meet(old.spans, spans))
    claimed = {old for part in ours for old in _claimed(part, over)}
    replaced = tuple(old for old in over if old in claimed)
    return [*beside, Step(Fate.REVISION, tuple(ours), replaced, () if is_named else spans)]


def _whole(
    fresh: Sequence[Part], there: Sequence[Part], compare: Compare, answer: Answer | None
) -> Step | None:
    """Return the step for all of `fresh` as one, if they repeat what is here, or extend it; else None."""
    is_named = isinstance(compare, Named)
    overlap = tuple(
        old for old in there if is_named or any(meet(old.spans, part.spans) for part in fresh)
    )
    if any(is_of_its_own(part, overlap) for part in fresh):
        return None
    if not overlap:
        return Step(Fate.PART, tuple(fresh))
    alike = compare.alike(fresh, overlap)
    if alike.common == alike.one == alike.other:
        return Step(Fate.DUPLICATE, tuple(fresh))
    places = {part.place for part in fresh}
    series = {part.series for part in (*fresh, *overlap)}
    # by their names, all parts of one export of which those here were some
    is_rerun = len(series) == 1 and "" not in series and all(p.place in places for p in overlap)
    restates = answer is None and (is_rerun or _is_longer(fresh, overlap))
    if alike.common == alike.other or (
        restates and alike.one_restates and compare.same_way(fresh, overlap)
    ):
        return Step(Fate.REVISION, tuple(fresh), overlap)
    return None


def _one(
    part: Part,
    there: Sequence[Part],
    known: Sequence[Part],
    compare: Compare,
    answer: Answer | None,
) -> Verdict:
    """Return the verdict on a part beside those that are here."""
    again = [
        old
        for old in known
        if part.digest == old.digest
        and part.lines == old.lines
        and not (are_siblings(part, old) or is_of_its_own(part, [old]))
    ]
    if any(old.in_force for old in again):
        return Step(Fate.DUPLICATE, (part,))
    if again and answer is None:
        return Step(Fate.OLDER, (part,))
    return _beside(part, there, compare, answer, together=False)


def _beside(
    part: Part,
    there: Sequence[Part],
    compare: Compare,
    answer: Answer | None,
    *,
    together: bool,
) -> Verdict:
    """Return the verdict on `part` beside those that are here, or that are given `together` with it."""
    namesake = tuple(
        old for old in there if part.series == old.series != "" and part.place == old.place
    )
    # other parts of the export that `part` belongs to, and of the same run, say nothing about it
    others = [
        old for old in there if not (are_siblings(part, old) and (old.number < 0 or not namesake))
    ]
    is_named = isinstance(compare, Named)
    overlap = tuple(old for old in others if is_named or meet(old.spans, part.spans))
    if not overlap:
        return Step(Fate.PART if there else Fate.NEW, (part,))
    if is_of_its_own(part, overlap):  # a further bill, or the new issue of one
        contradicts = compare.alike([part], overlap).restated
        if contradicts and (answer is Answer.REPLACE or compare.reissues(part, overlap)):
            return Question((part,), overlap)
        return Step(Fate.PART, (part,))
    overlap = _claimed(part, overlap)
    alike = compare.alike([part], overlap)
    if alike.common == alike.one == alike.other:
        return Step(Fate.DUPLICATE, (part,))
    if alike.common == alike.other:
        return Step(Fate.REVISION, (part,), overlap)
    if _is_older(part, overlap, alike, compare, answer, namesake):
        return Step(Fate.OLDER, (part,))
    if answer is None and alike.one_restates and _is_longer([part], overlap):
        certain = (
            compare.to_date(overlap, [part]) if together else compare.same_way([part], overlap)
        )
        if certain:
            return Step(Fate.REVISION, (part,), overlap)
    if answer is None and not together and _is_anew(part, namesake, overlap, compare):
        return Step(Fate.REVISION, (part,), namesake)
    longer = _longer(part, overlap, compare)
    if longer:
        return Step(Fate.REVISION, (part,), longer)
    if not alike.common and alike.apart:
        return Step(Fate.PART, (part,))
    return Question((part,), overlap)


def _is_older(
    part: Part,
    overlap: Sequence[Part],
    alike: Alike,
    compare: Compare,
    answer: Answer | None,
    namesake: Sequence[Part],
) -> bool:
    """Return True if `part` has nothing new, or is an earlier state of what has grown since."""
    shared = [old for old in overlap if compare.alike([part], [old]).common]
    if not shared:
        return False
    if alike.common == alike.one:
        if part.series and not namesake:
            return True
        if compare.within(shared, part.start_ns, part.end_ns) == alike.one:
            return True
    elif answer is not None:
        return False
    return part.end_ns < max(old.end_ns for old in shared) and compare.to_date([part], shared)


def _is_longer(parts: Sequence[Part], overlap: Sequence[Part]) -> bool:
    """Return True if `parts` begin where `overlap` does, and reach further."""
    ours, theirs = reach(parts), reach(overlap)
    return ours[0][0] == theirs[0][0] and ours[-1][1] > theirs[-1][1]


def _is_anew(
    part: Part, namesake: Sequence[Part], overlap: Collection[Part], compare: Compare
) -> bool:
    """Return True if a file restates every line of its `namesake`, and nothing of other parts."""
    if not namesake or isinstance(compare, Named):
        return False
    rest = [old for old in overlap if old not in namesake]
    if rest and not compare.alike([part], rest).apart:
        return False
    restates = compare.alike([part], namesake).one_restates
    return restates and compare.same_way([part], namesake)


def _longer(part: Part, overlap: Sequence[Part], compare: Compare) -> tuple[Part, ...]:
    """Return the parts that `part` repeats, if its further lines are not about the others; else nothing."""
    if len(overlap) < 2:
        return ()
    within = []
    for old in overlap:
        alike = compare.alike([part], [old])
        if alike.common == alike.other:
            within.append(old)
    rest = [old for old in overlap if old not in within]
    return tuple(within) if within and compare.is_apart(part, within, rest) else ()


def _claimed(part: Part, overlap: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts of `overlap` without those on other numbered invoices; all if none is left."""
    return tuple(old for old in overlap if not is_of_its_own(part, [old])) or overlap
