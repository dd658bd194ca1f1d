"""The arithmetic of limits: values reckoned by hand, and the theorem of the ledger as a property."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inferworks.errors import LimitsError
from inferworks.limits.ledger import (
    AHEAD_NS,
    DEAD_NS,
    NO_RECALL,
    SILENT_NS,
    Budget,
    Gateway,
    Grant,
    Rate,
    Settlement,
    SliceState,
    Want,
    bury,
    draw,
    forfeit,
    give_back,
    live,
    settle,
    shrink,
    silent,
)
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.units import NS_PER_SECOND

S: Final = NS_PER_SECOND
ONE, OTHER = (Gateway(f"run{n}", f"place{n}", "boot", 0) for n in (1, 2))


class Store:
    """A ledger with a clock that the test sets."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S
        self.ledger = MemoryLedger(lambda: self.now_ns)
        self._store = MemoryLimits(self.ledger)

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function of the ledger in a transaction."""
        return self._store.transact(lambda rows: work(rows, *arguments))

    def draw(self, owner: Gateway, *wants: Want) -> Sequence[Grant]:
        """Draw `wants`."""
        granted: Sequence[Grant] = self.run(draw, owner, wants)
        return granted

    def budget(self, name: str = "b") -> tuple[int, int]:
        """Return what is held and settled of a budget."""
        found = self.ledger.accounts[name]
        assert isinstance(found, Budget)
        return found.held, found.settled


def want(slice_id: str, least: int, most: int | None = None, **more: Any) -> Want:
    """Return a draw on the budget `b` of 100."""
    made = Want("b", 100, 1, 0, False, slice_id, least, most or least)
    return made._replace(**more)


def test_a_slice_is_half_of_an_equal_share_of_what_is_free() -> None:
    """Of 100, one of two gateways is granted 100 // 4, then 75 // 4, and never less than it needs."""
    store = Store()
    for gateway in (ONE, OTHER):
        store.run(live, gateway)
    assert store.draw(ONE, want("s1", 1, 100)) == (Grant("b", 25, 75),)
    assert store.draw(OTHER, want("s2", 1, 100)) == (Grant("b", 18, 57),)
    assert store.draw(OTHER, want("s3", 50, 100)) == (Grant("b", 50, 7),)
    assert store.draw(ONE, want("s4", 7, 9)) == (Grant("b", 7, 0),)
    assert store.budget() == (100, 0)


def test_all_limits_are_drawn_or_none() -> None:
    """The limit that lacks is named, and the others keep what they have."""
    store = Store()
    wants = [want("s1", 10), want("s2", 101, id="c")]
    assert store.draw(ONE, *wants) == (Grant("b", 0, 100), Grant("c", 0, 100, lacks=True))
    assert store.budget("b") == store.budget("c") == (0, 0)
    assert not store.ledger.slices


def test_what_was_spent_is_settled_and_the_rest_is_free() -> None:
    """Of 60 granted and 25 spent 75 are free again; a second settlement, or a forfeit, changes nothing."""
    store = Store()
    store.draw(ONE, want("s", 60))
    assert store.budget() == (60, 0)
    assert store.run(settle, ONE, Settlement("s", "b", 60, 25)) == 0
    for work, arguments in [
        (settle, (ONE, Settlement("s", "b", 60, 60))),
        (forfeit, ("b", "s")),
        (shrink, ("b", "s", 0)),
    ]:
        store.run(work, *arguments)
        assert store.budget() == (0, 25)
    assert store.draw(ONE, want("t", 75)) == (Grant("b", 75, 0),)


def test_more_than_was_granted_is_counted_and_said() -> None:
    """An upstream that bills 70 of a call that held 60 is over by 10."""
    store = Store()
    store.draw(ONE, want("s", 60))
    assert store.run(settle, ONE, Settlement("s", "b", 60, 70)) == 10
    assert store.budget() == (0, 70)


def test_a_forfeited_slice_is_spent_until_its_owner_says_otherwise() -> None:
    """All 60 count; the owner that was not dead gives back 20, spends 30 and settles."""
    store = Store()
    store.draw(ONE, want("s", 60))
    store.run(forfeit, "b", "s")
    assert store.budget() == (0, 60)
    store.run(shrink, "b", "s", 40)
    assert store.budget() == (0, 40)
    store.run(settle, ONE, Settlement("s", "b", 40, 30))
    assert store.budget() == (0, 30)


def test_calls_at_once_come_back_whole() -> None:
    """Nothing of them is used up: settled or forfeited, all are free; a late settlement frees no more."""
    store = Store()
    store.draw(ONE, want("s", 60, returns=True), want("c", 1, id="c"))
    store.run(settle, ONE, Settlement("s", "b", 60, 60))
    assert store.budget() == (0, 0)
    store.draw(ONE, want("t", 70, returns=True))
    store.run(forfeit, "b", "t")
    assert store.budget() == (0, 0)
    store.run(shrink, "b", "t", 5)
    store.run(settle, ONE, Settlement("t", "b", 5, 5))
    assert store.budget() == (0, 0)


def test_a_draw_that_is_repeated_grants_nothing_twice() -> None:
    """The answer is what it was granted and still has; of a slice that is over, nothing."""
    store = Store()
    first = store.draw(ONE, want("s", 10, 30))
    assert store.draw(ONE, want("s", 10, 30))[0].granted == first[0].granted == 30
    assert store.budget() == (30, 0)
    store.run(settle, ONE, Settlement("s", "b", 30, 0))
    assert store.draw(ONE, want("s", 10, 30)) == (Grant("b", 0, 100),)
    assert store.budget() == (0, 0)


def test_a_draw_that_comes_after_its_settlement_grants_nothing() -> None:
    """A slice that did not exist yet was settled by a gateway that gave up waiting."""
    store = Store()
    store.run(settle, ONE, Settlement("s", "b", 0, 0))
    assert store.draw(ONE, want("s", 10))[0].granted == 0
    assert store.budget() == (0, 0)


def test_the_newest_revision_of_a_cap_holds() -> None:
    """The first draw that names it makes it known, also one that is refused; an older one is ignored."""
    store = Store()
    store.draw(ONE, want("s", 60))
    assert store.draw(OTHER, want("t", 1, cap=50, revision=2))[0].lacks
    assert store.draw(ONE, want("u", 10, cap=100, revision=1))[0].lacks
    assert store.draw(ONE, want("v", 40, cap=100, revision=3)) == (Grant("b", 40, 0),)


def test_a_limit_of_one_kind_is_not_used_as_another() -> None:
    """A rate has no slices, a budget does not refill, and a slice belongs to one budget."""
    store = Store()
    store.draw(ONE, want("s", 1), want("r", 1, id="r", refill_ns=S))
    store.draw(ONE, want("c", 1, id="c"))
    with pytest.raises(LimitsError, match="b is a budget"):
        store.draw(ONE, want("t", 1, refill_ns=S))
    with pytest.raises(LimitsError, match="r is a rate"):
        store.draw(ONE, want("t", 1, id="r"))
    with pytest.raises(LimitsError, match="r is a rate, of which there are no slices"):
        store.run(settle, ONE, Settlement("x", "r", 1, 1))
    with pytest.raises(LimitsError, match="s is a slice of b, not of c"):
        store.run(settle, ONE, Settlement("s", "c", 1, 1))
    store.run(give_back, "b", 1, 0)
    assert store.budget() == (1, 0)


def test_a_refusal_waits_for_what_others_may_give_back() -> None:
    """The other has 90 and needs 30: it is asked once, and what it gives back is granted."""
    store = Store()
    for gateway in (ONE, OTHER):
        store.run(live, gateway)
    store.draw(OTHER, want("s", 90))
    [refused] = store.draw(ONE, want("t1", 50))
    assert (refused.granted, refused.lacks, refused.recall) == (0, True, 1)
    assert store.draw(ONE, want("t2", 50, recall=1))[0].recall == 1
    assert store.draw(ONE, want("t3", 20))[0].recall == 1, "a second call joins the first"
    assert store.run(live, OTHER) == {"b": 1}
    store.run(shrink, "b", "s", 30, 1)
    assert store.run(live, OTHER) == {}
    assert store.draw(ONE, want("t4", 50, recall=1)) == (Grant("b", 50, 20),)


def test_nobody_draws_ahead_of_who_waits() -> None:
    """For three seconds after a recall a draw is granted what its call needs and no more."""
    store = Store()
    for gateway in (ONE, OTHER):
        store.run(live, gateway)
    store.draw(OTHER, want("s", 90))
    assert store.draw(ONE, want("t", 50))[0].recall == 1
    store.run(shrink, "b", "s", 0, 1)
    assert store.draw(OTHER, want("u", 1, 100))[0].granted == 1
    store.now_ns += SILENT_NS
    assert store.draw(OTHER, want("v", 1, 100))[0].granted == 99 // 4


@pytest.mark.parametrize("why", ["too little", "silent", "not worth it", "answered"])
def test_a_refusal_is_final(why: str) -> None:
    """Nobody is asked who cannot give enough, has not been heard of for three seconds, or has answered."""
    store = Store()
    for gateway in (ONE, OTHER):
        store.run(live, gateway)
    store.draw(OTHER, want("s", 40))
    store.run(settle, ONE, Settlement("spent", "b", 0, 50))
    least, recall = 30, 0
    if why == "too little":
        least = 51
    elif why == "silent":
        store.now_ns += SILENT_NS
    elif why == "not worth it":
        recall = NO_RECALL
    else:
        assert store.draw(ONE, want("t0", least))[0].recall == 1
        store.run(shrink, "b", "s", 40, 1)
        recall = 1
    assert store.draw(ONE, want("t", least, recall=recall)) == (Grant("b", 0, 10, lacks=True),)


def test_a_gateway_that_is_silent_forfeits_what_it_holds() -> None:
    """After 30 s without a sign, and not when one comes in between; also when it has only ever drawn."""
    store = Store()
    store.draw(ONE, want("s", 40))
    store.run(live, OTHER)
    store.now_ns += DEAD_NS - 1
    assert store.run(silent) == []
    store.now_ns += 1
    assert [one.run for one in store.run(silent)] == ["run1", "run2"]
    store.run(live, OTHER)
    store.run(bury, OTHER.run)
    store.run(bury, ONE.run)
    store.run(bury, ONE.run)
    assert store.budget() == (0, 40)
    assert [one.run for one in store.run(lambda rows: rows.gateways())] == ["run2"]


def test_a_clock_that_is_set_back_keeps_nobody_alive() -> None:
    """Signs of life from the future count as of now."""
    store = Store()
    store.run(live, ONE)
    store.now_ns -= 900 * S
    store.run(live, OTHER)
    store.now_ns += DEAD_NS
    assert [one.run for one in store.run(silent)] == ["run1", "run2"]


def test_a_rate_refills() -> None:
    """Of 60 a minute 45 are taken at once: 20 more take five seconds, and 61 are never there."""
    store = Store()

    def take(slice_id: str, least: int) -> Grant:
        return store.draw(ONE, want(slice_id, least, id="r", cap=60, refill_ns=60 * S))[0]

    assert take("1", 45) == Grant("r", 45, 15)
    assert take("2", 20) == Grant("r", 0, 15, lacks=True, wait_ns=5 * S)
    assert take("3", 61).wait_ns == 0
    store.now_ns += 5 * S
    assert take("4", 20) == Grant("r", 20, 0)
    store.now_ns -= 3600 * S
    assert take("5", 1).wait_ns == S, "a clock that was set back refills nothing, and goes on"
    store.now_ns += S
    assert take("6", 1) == Grant("r", 1, 0)


def test_units_of_a_rate_that_come_back_are_those_that_refilled() -> None:
    """Of 30 that come back after ten seconds 10 have refilled; more that were used are taken at once."""
    store = Store()
    wanted = want("1", 60, id="r", cap=60, refill_ns=60 * S)
    store.draw(ONE, wanted)
    taken_ns = store.now_ns
    store.now_ns += 10 * S
    store.run(give_back, "r", 30, taken_ns)
    rate = store.ledger.accounts["r"]
    assert isinstance(rate, Rate)
    assert rate.free == 30
    store.run(give_back, "r", 30, store.now_ns, 10 * S)
    store.run(give_back, "r", -5, taken_ns)
    assert store.ledger.accounts["r"].free == 45
    store.draw(ONE, wanted._replace(slice_id="2", least=1, most=1, cap=30, revision=2))
    assert store.ledger.accounts["r"].free == 30 - 15 - 1


# --- the theorem

CAP: Final = 1000


class Part:
    """A slice as its owner knows it."""

    def __init__(self, budget: str, granted: int) -> None:
        self.budget = budget
        self.granted = granted
        self.ended = 0
        self.reserved = 0


class Call:
    """A call under way, with what it has spent so far."""

    def __init__(self, part: Part, amount: int) -> None:
        self.part = part
        self.amount = amount
        self.spent = 0


class Model:
    """One life of a gateway, with what its own log says; a dead one's log is what its next life reads."""

    def __init__(self, number: int, life: int) -> None:
        self.gateway = Gateway(f"run{number}-{life}", f"place{number}", "boot", 0)
        self.parts: dict[str, Part] = {}
        self.calls: list[Call] = []
        self.doubtful: dict[str, str] = {}
        """Draws that were not answered, with their budgets."""
        self.is_dead = False


GATEWAYS: Final = st.integers(0, 2)
AMOUNTS: Final = st.integers(1, 400)
CHOICE: Final = st.integers(0, 1000)


class Theorem(RuleBasedStateMachine):
    """Gateways that draw, spend, die, wake up late and repeat themselves, on one ledger.

    Each message to the store may be lost, with or without its effect, come late, and come again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.caps = {"money": CAP, "at once": CAP}
        self.revision = 1
        self.before = dict.fromkeys(self.caps, 0)
        self.true = 0
        self.number = 0
        self.models = [Model(number, 0) for number in range(3)]
        self.dead: list[Model] = []
        self.sent: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.late: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def send(self, work: Callable[..., Any], *arguments: Any, fate: str = "answered") -> Any:
        """Send a message to the store. None where no answer comes."""
        message = (work, arguments)
        if fate == "late":
            self.late.append(message)
            return None
        self.sent.append(message)
        answer = self.store.run(*message[:1], *arguments) if fate != "lost" else None
        return answer if fate == "answered" else None

    @rule(
        number=GATEWAYS,
        least=AMOUNTS,
        ahead=st.integers(1, 5),
        budget=st.sampled_from(["money", "at once"]),
        fate=st.sampled_from(["answered", "answered", "answered", "lost", "unanswered", "late"]),
        is_new=st.booleans(),
    )
    def draws(
        self, number: int, least: int, ahead: int, budget: str, fate: str, is_new: bool
    ) -> None:
        """A gateway draws, by the newest revision or by an older one."""
        model = self.models[number]
        self.number += 1
        slice_id = f"slice{self.number}"
        revision = self.revision if is_new else 1
        cap = self.caps[budget] if is_new else CAP
        wanted = Want(budget, cap, revision, 0, budget == "at once", slice_id, least, ahead * least)
        if is_new:
            self.store.run(draw, model.gateway, [wanted._replace(slice_id="-", least=1 << 60)])
        answer = self.send(draw, model.gateway, [wanted], fate=fate)
        if answer is None:
            model.doubtful[slice_id] = budget
        elif answer[0].granted:
            model.parts[slice_id] = Part(budget, answer[0].granted)

    @rule(number=GATEWAYS, which=CHOICE, amount=AMOUNTS)
    def holds(self, number: int, which: int, amount: int) -> None:
        """A call takes what it may use, where a slice suffices: that is how a gateway keeps its own sum."""
        parts = list(self.models[number].parts.values())
        for part in parts[which % len(parts) :][:1] if parts else ():
            if part.granted - part.ended - part.reserved >= amount:
                part.reserved += amount
                self.models[number].calls.append(Call(part, amount))

    @rule(number=GATEWAYS, which=CHOICE, amount=AMOUNTS)
    def extends(self, number: int, which: int, amount: int) -> None:
        """A call that goes on takes more."""
        for call in self.models[number].calls[which % 4 :][:1]:
            if call.part.granted - call.part.ended - call.part.reserved >= amount:
                call.part.reserved += amount
                call.amount += amount

    @rule(number=GATEWAYS, which=CHOICE, share=st.integers(0, 100))
    def spends(self, number: int, which: int, share: int) -> None:
        """A call uses some of what it holds."""
        for call in self.models[number].calls[which % 4 :][:1]:
            used = (call.amount - call.spent) * share // 100
            call.spent += used
            if call.part.budget == "money":
                self.true += used

    @rule(number=GATEWAYS, which=CHOICE)
    def ends(self, number: int, which: int) -> None:
        """A call ends, and gives back what it did not use: all of it where it is one of so many at once."""
        model = self.models[number]
        for call in model.calls[which % 4 :][:1]:
            model.calls.remove(call)
            call.part.reserved -= call.amount
            call.part.ended += call.spent if call.part.budget == "money" else 0

    @rule(number=GATEWAYS, which=CHOICE, fate=st.sampled_from(["answered", "lost", "late"]))
    def shrinks(self, number: int, which: int, fate: str) -> None:
        """A gateway gives back what is neither spent nor reserved, whether the store hears of it or not."""
        parts = list(self.models[number].parts.items())
        for slice_id, part in parts[which % len(parts) :][:1] if parts else ():
            part.granted = part.ended + part.reserved
            self.send(shrink, part.budget, slice_id, part.granted, which % 3, fate=fate)

    @rule(number=GATEWAYS, which=CHOICE, fate=st.sampled_from(["answered", "unanswered", "lost"]))
    def settles(self, number: int, which: int, fate: str) -> None:
        """A gateway settles a slice of which no call holds anything, again if it had no answer."""
        model = self.models[number]
        idle = [(name, part) for name, part in model.parts.items() if not part.reserved]
        for slice_id, part in idle[which % len(idle) :][:1] if idle else ():
            end = Settlement(slice_id, part.budget, part.granted, part.ended)
            self.send(settle, model.gateway, end, fate=fate)
            if fate == "answered":
                del model.parts[slice_id]
            else:
                part.granted = part.ended  # nothing is taken of a slice that may be settled

    @rule(number=GATEWAYS)
    def gives_up(self, number: int) -> None:
        """A gateway settles draws that were never answered, which may still come."""
        model = self.models[number]
        for slice_id, budget in model.doubtful.items():
            self.send(settle, model.gateway, Settlement(slice_id, budget, 0, 0))
        model.doubtful = {}

    @rule(which=CHOICE)
    def forfeits(self, which: int) -> None:
        """Somebody is believed dead who may not be."""
        found = sorted(self.store.ledger.slices)
        for slice_id in found[which % len(found) :][:1] if found else ():
            self.send(forfeit, self.store.ledger.slices[slice_id].budget, slice_id)

    @rule(number=GATEWAYS)
    def dies(self, number: int) -> None:
        """A process is killed; what its calls held may have been spent, and its log has how much it was."""
        model = self.models[number]
        model.is_dead = True
        self.dead.append(model)
        self.models[number] = Model(number, 1 + int(model.gateway.run.split("-")[1]))

    @precondition(lambda self: self.dead)
    @rule(
        which=CHOICE,
        fate=st.sampled_from(["answered", "unanswered"]),
        lost_power=st.booleans(),
    )
    def restarts(self, which: int, fate: str, lost_power: bool) -> None:
        """The next life settles what its log says of the last one, or forfeits it after a loss of power."""
        model = self.dead[which % len(self.dead)]
        for slice_id, part in model.parts.items():
            if lost_power:
                self.send(forfeit, part.budget, slice_id)
            else:
                held = part.reserved if part.budget == "money" else 0
                end = Settlement(slice_id, part.budget, part.granted, part.ended + held)
                self.send(settle, model.gateway, end, fate=fate)
        if not lost_power:
            for slice_id, budget in model.doubtful.items():
                self.send(settle, model.gateway, Settlement(slice_id, budget, 0, 0))
        if fate == "answered":
            self.dead.remove(model)

    @precondition(lambda self: self.sent)
    @rule(which=CHOICE)
    def repeats(self, which: int) -> None:
        """An old message comes once more."""
        work, arguments = self.sent[which % len(self.sent)]
        self.store.run(work, *arguments)

    @precondition(lambda self: self.late)
    @rule(which=CHOICE)
    def comes_late(self, which: int) -> None:
        """A message comes when nobody waits for its answer any more."""
        message = self.late.pop(which % len(self.late))
        self.sent.append(message)
        self.store.run(message[0], *message[1])

    @rule(budget=st.sampled_from(["money", "at once"]), cap=st.integers(0, 2 * CAP))
    def revises(self, budget: str, cap: int) -> None:
        """A limit is set to another amount, and one gateway knows of it already."""
        self.revision += 1
        self.caps[budget] = cap
        wanted = Want(budget, cap, self.revision, 0, budget == "at once", "-", 1 << 60, 1 << 60)
        self.store.draw(self.models[0].gateway, wanted)

    @rule(seconds=st.integers(-4000, 4000), number=GATEWAYS)
    def sets_the_clock(self, seconds: int, number: int) -> None:
        """The store's clock goes anywhere, and the gateways believed dead by it are buried."""
        self.store.now_ns += seconds * S
        self.store.run(live, self.models[number].gateway)
        for other in self.store.run(silent):
            self.store.run(bury, other.run)

    @invariant()
    def check(self) -> None:
        """True spend <= what is granted or was spent = held + settled <= cap, or no more than before."""
        slices = self.store.ledger.slices.values()
        for name, account in self.store.ledger.accounts.items():
            assert isinstance(account, Budget)
            own = [one for one in slices if one.budget == name]
            held = sum(one.granted for one in own if one.state is SliceState.OPEN)
            settled = sum(one.spent for one in own if one.state is SliceState.CLOSED)
            if name == "money":
                settled += sum(one.granted for one in own if one.state is SliceState.FORFEITED)
                assert self.true <= held + settled
            assert (account.held, account.settled) == (held, settled)
            assert held + settled <= max(self.caps[name], self.before[name])
            self.before[name] = held + settled
        for model in self.models:
            for slice_id, part in model.parts.items():
                assert part.ended + part.reserved <= part.granted
                found = self.store.ledger.slices[slice_id]
                assert found.state is SliceState.CLOSED or part.granted <= found.granted


TestTheorem = Theorem.TestCase
TestTheorem.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestTheorem.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]


class RateTheorem(RuleBasedStateMachine):
    """Gateways that take units of a rate, use them within a second or later give them back."""

    CAP, REFILL_NS = 60, 60 * S

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.true_ns = 0
        self.refilled_ns = 0
        """Time as the rate may count it: what passed, and each step of the clock forward."""
        self.taken: list[list[int]] = []
        """Units in hand, and when they were taken by the store's clock and in truth."""
        self.used: list[tuple[int, int]] = []
        """Units used, each with the time of `refilled_ns`."""

    @rule(least=st.integers(1, 60), ahead=st.integers(1, 4), is_used=st.booleans())
    def draws(self, least: int, ahead: int, is_used: bool) -> None:
        """Somebody draws, and has a use for all of it or not."""
        wanted = want("-", least, ahead * least, id="r", cap=self.CAP, refill_ns=self.REFILL_NS)
        [grant] = self.store.draw(ONE, wanted)
        if is_used:
            self.used.append((self.refilled_ns, grant.granted))
        elif grant.granted:
            self.taken.append([grant.granted, self.store.now_ns, self.true_ns])

    @rule(which=CHOICE, units=st.integers(1, 30))
    def uses(self, which: int, units: int) -> None:
        """Units in hand are used, unless they are too old."""
        for one in self.taken[which % 8 :][:1]:
            if self.true_ns - one[2] <= AHEAD_NS:
                used = min(units, one[0])
                one[0] -= used
                self.used.append((self.refilled_ns, used))

    @rule(which=CHOICE)
    def gives_back(self, which: int) -> None:
        """The rest is given back, however late."""
        for one in self.taken[which % 8 :][:1]:
            self.taken.remove(one)
            self.store.run(give_back, "r", one[0], one[1], self.true_ns - one[2])

    @rule(milliseconds=st.integers(1, 30_000))
    def passes(self, milliseconds: int) -> None:
        """Time passes."""
        self.store.now_ns += milliseconds * 10**6
        self.true_ns += milliseconds * 10**6
        self.refilled_ns += milliseconds * 10**6

    @rule(milliseconds=st.integers(-100_000, 10_000))
    def sets_the_clock(self, milliseconds: int) -> None:
        """The store's clock is set."""
        self.store.now_ns += milliseconds * 10**6
        self.refilled_ns += max(0, milliseconds) * 10**6

    @invariant()
    def check(self) -> None:
        """In each stretch t of time no more than cap + cap x (t + 1 s) / refill are used."""
        for n, (from_ns, _) in enumerate(self.used):
            used = 0
            for at_ns, units in self.used[n:]:
                used += units
                assert used * self.REFILL_NS <= self.CAP * (
                    self.REFILL_NS + at_ns - from_ns + AHEAD_NS
                )


TestRateTheorem = RateTheorem.TestCase
TestRateTheorem.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestRateTheorem.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]


def _number(least: int, most: int) -> Callable[[Random], int]:
    return lambda chance: chance.randint(least, most)


def _one_of(*words: Any) -> Callable[[Random], Any]:
    return lambda chance: chance.choice(words)


_GATEWAY, _CHOICE, _AMOUNT = _number(0, 2), _number(0, 1000), _number(1, 400)
_BUDGET = _one_of("money", "at once")
_CALL: Final = {"number": _GATEWAY, "which": _CHOICE}
_FATE: Final = _one_of("answered", "answered", "answered", "lost", "unanswered", "late")
_STEPS: Final = {
    "draws": {"number": _GATEWAY, "least": _AMOUNT, "ahead": _number(1, 5), "budget": _BUDGET,
              "fate": _FATE, "is_new": _one_of(True, False)},
    "holds": {**_CALL, "amount": _AMOUNT},
    "extends": {**_CALL, "amount": _AMOUNT},
    "spends": {**_CALL, "share": _number(0, 100)},
    "ends": _CALL,
    "shrinks": {**_CALL, "fate": _FATE},
    "settles": {**_CALL, "fate": _one_of("answered", "unanswered", "lost")},
    "gives_up": {"number": _GATEWAY},
    "forfeits": {"which": _CHOICE},
    "dies": {"number": _GATEWAY},
    "restarts": {"which": _CHOICE, "fate": _one_of("answered", "unanswered"),
                 "lost_power": _one_of(True, False)},
    "repeats": {"which": _CHOICE},
    "comes_late": {"which": _CHOICE},
    "revises": {"budget": _BUDGET, "cap": _number(0, 2 * CAP)},
    "sets_the_clock": {"seconds": _number(-4000, 4000), "number": _GATEWAY},
}  # fmt: skip
_RATE_STEPS: Final = {
    "draws": {"least": _number(1, 60), "ahead": _number(1, 4), "is_used": _one_of(True, False)},
    "uses": {"which": _CHOICE, "units": _number(1, 30)},
    "gives_back": {"which": _CHOICE},
    "passes": {"milliseconds": lambda chance: round(60_000 * chance.random() ** 4)},
    "sets_the_clock": {"milliseconds": _number(-100_000, 10_000)},
}
NEEDS: Final = {"restarts": "dead", "repeats": "sent", "comes_late": "late"}
"""Steps that are taken only where there is any of these."""
STEPS: Final[dict[type, list[tuple[str, Any]]]] = {
    Theorem: [
        (name, arguments)
        for name, arguments in _STEPS.items()
        for _ in range(1 if name in ("revises", "sets_the_clock", "forfeits", "dies") else 4)
    ],
    RateTheorem: [
        one for one in _RATE_STEPS.items() for _ in range(1 + 8 * (one[0] != "sets_the_clock"))
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Theorem, RateTheorem])
def test_the_theorem_holds_in_long_runs(machine: type[Theorem | RateTheorem]) -> None:
    """The same in 150 runs of 150 steps: Hypothesis finds the shortest way to a fault, not the longest."""
    for seed in range(150):
        chance, run = Random(seed), machine()
        for _ in range(150):
            name, arguments = chance.choice(STEPS[machine])
            if getattr(run, NEEDS.get(name, "store")):
                getattr(run, name)(**{key: made(chance) for key, made in arguments.items()})
            run.check()
