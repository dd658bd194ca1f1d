"""Inputs of a statement: what is recorded for a time, the rules, and the time where none is given."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.book_settings import (
    DECEMBER_NS,
    JANUARY_NS,
    NOVEMBER_NS,
    a_folder,
    enter,
    record,
    settings_of,
)

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer
from inferworks.accounts.directory import ALONE
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.books.allocation.departments import SHIPPED
from inferworks.books.calendar.span import Span, Times
from inferworks.books.repository.stored_lines import StoredLines
from inferworks.books.statement.computation import BUNDLES, shipped_rules
from inferworks.books.workspace.bill_lines import BillLines
from inferworks.books.workspace.gathering import (
    LONGEST_CALL_NS,
    around,
    charges_of,
    computation_of,
    customers_of,
    estimates_of,
    facts_of,
    first_record_ns,
    in_bundles_from,
    inputs_between,
    open_store,
    plans_of,
    policy_of,
    query_span,
    refusals,
    rules_of,
    singles_of,
    span_of,
    wanted_span,
)
from inferworks.books.workspace.query import Query
from inferworks.catalog.billing import first_table
from inferworks.errors import BooksError, ConfigError, DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS
from inferworks.testing.books import a_charge, a_usage

POOLS = '[[pool]]\nname = "all"\ndriver = "none"\n'
ALL_TIME = Span(0, 2**63 - 1)
NOVEMBER = Span(NOVEMBER_NS, DECEMBER_NS)
NOTHING = Span(0, 0)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> DataFolder:
    """An empty data folder."""
    return a_folder(tmp_path)


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "span"),
    [
        (None, None, ALL_TIME),
        (5, None, Span(5, 2**63 - 1)),
        (None, 5, Span(0, 5)),
        (3, 5, Span(3, 5)),
        (0, 0, Span(0, 0)),
    ],
)
def test_a_missing_end_is_that_of_all_time(
    start_ns: int | None, end_ns: int | None, span: Span
) -> None:
    """An end of zero is an end that was given."""
    assert wanted_span(start_ns, end_ns) == span


def test_a_call_may_have_been_opened_a_day_before_it_used_a_machine() -> None:
    """So facts are read from a day before, and never from before all time."""
    assert around(Span(LONGEST_CALL_NS + 3, 10**18)) == Span(3, 10**18)
    assert around(Span(5, 10)) == Span(0, 10)


def lines(*spans: tuple[int, int]) -> list[Times]:
    """Bill lines of these times, one each."""
    return [Times(*span, 1) for span in spans]


def test_a_query_with_both_ends_is_taken_as_it_is(folder: DataFolder) -> None:
    """Records of that time are not looked for."""
    assert query_span(settings_of(folder), 3, 5, [], NOTHING) == Span(3, 5)


def test_a_query_without_ends_is_of_what_has_happened_so_far(folder: DataFolder) -> None:
    """From the first line to the last use; of nothing it is empty."""
    settings = settings_of(folder, at_ns=100)
    assert query_span(settings, None, None, lines((10, 50)), Span(20, 80)) == Span(10, 80)
    assert query_span(settings, None, None, lines((10, 150)), NOTHING) == Span(10, 150)
    assert query_span(settings, None, None, [], NOTHING).length_ns == 0


def test_a_query_with_one_end_is_cut_there(folder: DataFolder) -> None:
    """The other end is that of what has happened; the one given counts, also where nothing is recorded."""
    settings = settings_of(folder, at_ns=100)
    assert query_span(settings, 5, None, lines((10, 50)), Span(20, 80)) == Span(5, 80)
    assert query_span(settings, None, 90, lines((10, 50)), Span(20, 80)) == Span(10, 90)
    assert query_span(settings, 30, None, lines((10, 50)), Span(20, 80)) == Span(30, 80)
    assert query_span(settings, None, 30, lines((10, 50)), Span(20, 80)) == Span(10, 30)


def test_a_query_since_the_last_record_reaches_to_now(folder: DataFolder) -> None:
    """Nothing was recorded since 90, and it is 100."""
    settings = settings_of(folder, at_ns=100)
    assert query_span(settings, 90, None, lines((10, 50)), NOTHING) == Span(90, 100)


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "text"),
    [
        (None, NOVEMBER_NS, "nothing is recorded before 2026-11-01 00:00:00; give --from as well"),
        (JANUARY_NS, None, "2027-01-01 00:00:00 is yet to come; give --to as well"),
        (JANUARY_NS + 5, None, "2027-01-01 00:00:00 is yet to come; give --to as well"),
    ],
)
def test_a_query_of_a_time_in_which_nothing_can_have_happened_is_refused(
    folder: DataFolder, start_ns: int | None, end_ns: int | None, text: str
) -> None:
    """The other end would be a guess."""
    with pytest.raises(UserError) as refused:
        query_span(
            settings_of(folder), start_ns, end_ns, lines((NOVEMBER_NS, DECEMBER_NS)), NOTHING
        )
    assert str(refused.value) == text


def test_the_span_of_a_folder_is_that_of_its_records(folder: DataFolder) -> None:
    """A bill of November and a call on its last day; with both ends it is as given."""
    enter(folder, "november", a_charge("a", "1", NOVEMBER))
    settings = settings_of(folder)
    assert span_of(settings, None, None) == NOVEMBER
    record(folder, a_usage("call-1", opened_ns=DECEMBER_NS - 10))
    assert span_of(settings, None, None) == NOVEMBER
    record(folder, a_usage("call-2", opened_ns=DECEMBER_NS + 10))
    assert span_of(settings, None, None) == Span(NOVEMBER_NS, DECEMBER_NS + 11)
    assert span_of(settings, NOVEMBER_NS + 5, None) == Span(NOVEMBER_NS + 5, DECEMBER_NS + 11)
    assert span_of(settings, 3, 5) == Span(3, 5)


def test_the_first_record_is_the_earliest_of_any_kind(folder: DataFolder) -> None:
    """A bill line, a call, credit, or a plan with a fee; a plan of prices alone earns nothing by itself."""
    settings = settings_of(folder)
    assert first_record_ns(settings) is None
    acme = CustomerId("acme")
    with settings.change_accounts() as accounts:
        accounts.add_customer(Customer(acme, 5), PricePlan.per_million(acme, 5, "USD", "1", "2"))
        assert first_record_ns(settings) is None
        enter(folder, "november", a_charge("a", "1", NOVEMBER))
        assert first_record_ns(settings) == NOVEMBER_NS
        record(folder, a_usage("call-1", opened_ns=NOVEMBER_NS - 10))
        assert first_record_ns(settings) == NOVEMBER_NS - 10
        accounts.add_credit(Credit("c", acme, NOVEMBER_NS - 20, 10**12, "USD"))
        assert first_record_ns(settings) == NOVEMBER_NS - 20
        accounts.add_plan(PricePlan(acme, NOVEMBER_NS - 30, Terms("USD", subscription_pico=1)))
    assert first_record_ns(settings) == NOVEMBER_NS - 30


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """One that is not there, and one in which nothing was recorded; each is named."""
    for path in (tmp_path / "nowhere", tmp_path):
        settings = settings_of(DataFolder(path))
        for ask in (
            lambda settings=settings: span_of(settings, 3, 5),
            lambda settings=settings: estimates_of(settings, None, None),
            lambda settings=settings: inputs_between(settings, Query()),
            lambda settings=settings: open_store(settings.folder, read_only=True),
        ):
            with pytest.raises(DataFolderError, match=str(path)):
                ask()


def test_a_folder_without_records_has_no_inputs(folder: DataFolder) -> None:
    """No charges, no facts, no plans and nobody; the currency is that of the settings."""
    settings = settings_of(folder, currency="EUR")
    assert charges_of(settings, ALL_TIME) == ((), "EUR")
    assert facts_of(settings, ALL_TIME) == NO_FACTS
    assert plans_of(settings) == ()
    assert customers_of(settings) == ALONE


def test_charges_are_those_that_meet_the_span(folder: DataFolder) -> None:
    """Whole, by id, in the currency of the books, validated or not."""
    october = a_charge("a", "1", (NOVEMBER_NS - 100, NOVEMBER_NS))
    november = a_charge("b", "2", (NOVEMBER_NS - 10, NOVEMBER_NS + 10))
    enter(folder, "bills", october, november)
    settings = settings_of(folder, currency="EUR")
    for validated in (True, False):
        charges, currency = charges_of(settings, NOVEMBER, validated=validated)
        assert [charge.line for charge in charges] == ["b"]
        assert currency == "USD"
    assert len(charges_of(settings, ALL_TIME)[0]) == 2


def test_bill_lines_are_counted_before_they_are_read(folder: DataFolder) -> None:
    """Each period once, with how many lines have it."""
    assert BillLines(folder, ALL_TIME, "EUR").times == []
    charges = [a_charge(name, "1", NOVEMBER) for name in ("a", "b")]
    enter(folder, "bills", *charges, a_charge("c", "1", (5, 10)))
    found = BillLines(folder, ALL_TIME, "EUR")
    assert sorted(found.times) == [(5, 10, 1), (*NOVEMBER, 2)]
    assert found.currency == "USD"
    assert len(found.charges()) == 3
    assert BillLines(folder, Span(10, 20), "EUR").charges() == ()


def test_facts_are_in_force_and_reach_a_day_back(folder: DataFolder) -> None:
    """A call opened a day before the span may use machines in it; one before that cannot."""
    day_ns = LONGEST_CALL_NS
    record(folder, *(a_usage(f"call-{at}", opened_ns=at) for at in (0, day_ns, 2 * day_ns - 1)))
    found = facts_of(settings_of(folder), Span(2 * day_ns, 3 * day_ns))
    assert [usage.opened_ns for usage in found.usages] == [day_ns, 2 * day_ns - 1]


def test_plans_and_customers_are_those_of_the_accounts(folder: DataFolder) -> None:
    """Every plan that was ever in force."""
    settings, acme = settings_of(folder), CustomerId("acme")
    plan = PricePlan.per_million(acme, 5, "USD", "8.00", "12.00")
    with settings.change_accounts() as accounts:
        accounts.add_customer(Customer(acme, 5), plan)
    assert plans_of(settings) == (plan,)
    assert customers_of(settings).merges == ()


def test_rules_are_the_companys_with_the_shipped_pools(folder: DataFolder) -> None:
    """Unless a file of pools is given."""
    settings = settings_of(folder, recoverable_taxes=("VAT",), billing=first_table())
    rules = rules_of(settings, None)
    assert (rules.recoverable_taxes, rules.billing) == (("VAT",), first_table())
    assert (rules.departments, rules.customers) == (SHIPPED, ALONE)
    assert rules.pools == shipped_rules().pools
    assert rules.follows_merges
    path = folder.path / "pools.toml"
    path.write_text(POOLS)
    assert [pool.name for pool in rules_of(settings, path).pools] == ["all"]


def test_a_file_of_pools_that_cannot_be_read_is_refused(folder: DataFolder) -> None:
    """Not there, no text, or no pools: each names the file."""
    settings, path = settings_of(folder), folder.path / "pools.toml"
    with pytest.raises(UserError, match=f"cannot read the pools file {path}: "):
        rules_of(settings, path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=f"the pools file {path} is not UTF-8 text"):
        rules_of(settings, path)
    path.write_text("pool = []")
    with pytest.raises(ConfigError, match=r"pools\.toml"):
        rules_of(settings, path)


def test_a_policy_may_lie_in_the_folder(folder: DataFolder) -> None:
    """A shipped name goes first; a name that is nowhere is refused."""
    settings = settings_of(folder)
    assert policy_of(settings, "gaap").name == "gaap"
    with pytest.raises(ConfigError, match="policy 'own' not found"):
        policy_of(settings, "own")


def test_lines_that_are_held_are_not_put_into_bundles(folder: DataFolder) -> None:
    """Only lines that are read from the books one by one are too many to hold."""
    rules = shipped_rules()
    assert in_bundles_from((), rules) is rules
    assert in_bundles_from((a_charge("a", "1", (0, 1)),), rules) is rules
    stored = StoredLines(folder.books, ALL_TIME)
    assert in_bundles_from(stored, rules).bundles == BUNDLES


def test_inputs_between_moments_are_all_that_is_recorded(folder: DataFolder) -> None:
    """Bills, facts and rules; their computation bears what is billed."""
    enter(folder, "november", a_charge("a", "1", NOVEMBER))
    record(folder, a_usage("call-1", opened_ns=NOVEMBER_NS))
    inputs = inputs_between(settings_of(folder), Query(policy="full"))
    assert (inputs.span, inputs.currency, inputs.policy.name) == (NOVEMBER, "USD", "full")
    assert [usage.call_id for usage in inputs.facts.usages] == ["call-1"]
    assert inputs.segments == ()
    computation = computation_of(inputs)
    assert sum(line.amount_pico for line in computation.lines) == 10**12
    assert singles_of(computation, inputs) == ()
    half = inputs_between(settings_of(folder), Query(end_ns=(NOVEMBER_NS + DECEMBER_NS) // 2))
    assert sum(line.amount_pico for line in computation_of(half).lines) == 10**12 // 2


def test_estimates_of_a_folder_without_calls_are_none(folder: DataFolder) -> None:
    """Nothing was estimated, so nothing was right or wrong."""
    enter(folder, "november", a_charge("a", "1", NOVEMBER))
    assert estimates_of(settings_of(folder), None, None) == ()


def test_an_error_of_the_books_says_that_there_is_no_statement() -> None:
    """The cause stays; other errors are not touched."""
    with pytest.raises(BooksError) as refused, refusals():
        raise BooksError("theorem 2 does not hold")
    assert str(refused.value) == "the statement cannot be computed: theorem 2 does not hold"
    assert str(refused.value.__cause__) == "theorem 2 does not hold"
    with pytest.raises(UserError, match=r"^mine$"), refusals():
        raise UserError("mine")
