"""The accounts in memory keep the contract of the seam, in the order and the words that it promises."""

from __future__ import annotations

import pytest

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import ANY_SOURCE, Grant, Key, mint
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.errors import UserError
from inferworks.ids import CustomerId
from inferworks.testing.accounts import check_accounts
from inferworks.testing.facts import A_PEPPER

ACME, BURNS = CustomerId("acme"), CustomerId("burns")


@pytest.fixture
def accounts() -> StubAccounts:
    """Accounts of one customer."""
    made = StubAccounts()
    made.add_customer(Customer(ACME, 1))
    return made


def plan(at_ns: int, pico: int = 1, customer: CustomerId = ACME) -> PricePlan:
    """A plan from `at_ns` on."""
    return PricePlan.per_token(customer, at_ns, "USD", pico, pico)


def key(name: str, *sources: str, customer: CustomerId = ACME, created_ns: int = 1) -> Key:
    """A key for `sources`, called `name`."""
    return mint(customer, created_ns, Grant(sources=sources), name=name, pepper=A_PEPPER)[0]


def test_the_stub_keeps_the_contract() -> None:
    """The fake behaves as the real stores do."""
    check_accounts(StubAccounts())


def test_nothing_is_there_in_the_beginning() -> None:
    """Every list is empty, and the version is that of no change."""
    empty = StubAccounts()
    lists = (empty.customers(), empty.facts(), empty.plans(), empty.withdrawn_plans())
    assert lists == ([], [], [], [])
    assert (empty.credits(), empty.voided_credits(), empty.keys()) == ([], [], [])
    assert empty.version() == StubAccounts().version()


def test_the_order_is_not_that_of_entry(accounts: StubAccounts) -> None:
    """Customers by name, plans by customer and date, credits and keys oldest first, then by id."""
    accounts.add_customer(Customer(CustomerId("zed"), 1))
    accounts.add_customer(Customer(BURNS, 2), plan(5, customer=BURNS))
    for at_ns in (9, 3):
        accounts.add_plan(plan(at_ns))
    for name, at_ns in (("c", 2), ("b", 2), ("a", 7), ("d", 1)):
        accounts.add_credit(Credit(name, ACME, at_ns, 10, "USD"))
    later, sooner = key("x", created_ns=8), key("y", created_ns=4)
    for one in (later, sooner):
        accounts.add_key(one)
    assert [one.id for one in accounts.customers()] == ["acme", "burns", "zed"]
    assert [(one.customer, one.effective_ns) for one in accounts.plans()] == [
        *(("acme", 3), ("acme", 9), ("burns", 5)),
    ]
    assert [one.id for one in accounts.credits()] == ["d", "b", "c", "a"]
    assert accounts.keys() == [sooner, later]


def test_lists_are_copies(accounts: StubAccounts) -> None:
    """Changing a list that was returned does not change the accounts."""
    accounts.add_plan(plan(1))
    accounts.add_fact(CustomerFact(customer=ACME, effective_ns=1, recorded_ns=1, by="ann"))
    for listed in (accounts.customers, accounts.plans, accounts.facts):
        listed().clear()
        assert len(listed()) == 1


def test_a_refusal_changes_nothing(accounts: StubAccounts) -> None:
    """A refused change leaves every list and the version as they were, and says the remedy."""
    accounts.add_plan(plan(5))
    before = accounts.version()
    refusals = {
        "customer acme exists already": lambda: accounts.add_customer(Customer(ACME, 9), plan(7)),
        "no customer burns; create it with: inferworks customers create burns": lambda: (
            accounts.add_plan(plan(7, customer=BURNS))
        ),
        "customer acme has a plan from that moment already; replace it with: inferworks customers "
        "price acme --plan FILE": lambda: accounts.add_plan(plan(5, 2)),
        "customer acme has this very plan from that moment already": lambda: accounts.replace_plan(
            plan(5), 9
        ),
        "customer acme has no plan from that moment; list them with: inferworks customers plans "
        "acme": lambda: accounts.withdraw_plan(ACME, 6, 9),
        "no credit c that counts; list them with: inferworks customers credits NAME": lambda: (
            accounts.void_credit("c", 9, "a slip")
        ),
        "no key k; list them with: inferworks keys list": lambda: accounts.revoke_key("k", 9),
    }
    for words, act in refusals.items():
        with pytest.raises(UserError) as refused:
            act()
        assert str(refused.value) == words
    assert accounts.version() == before
    assert (accounts.plans(), accounts.withdrawn_plans()) == ([plan(5)], [])


def test_withdrawn_plans_stand_by_moment_and_then_by_their_end(accounts: StubAccounts) -> None:
    """A plan that was mended twice is on record twice, in that order."""
    accounts.add_plan(plan(5, 1))
    accounts.add_plan(plan(2, 9))
    assert accounts.replace_plan(plan(5, 2), 20) == plan(5, 1)
    assert accounts.replace_plan(plan(5, 3), 30) == plan(5, 2)
    accounts.withdraw_plan(ACME, 2, 40)
    found = [(w.plan.effective_ns, w.withdrawn_ns) for w in accounts.withdrawn_plans()]
    assert found == [(2, 40), (5, 20), (5, 30)]
    assert accounts.plans() == [plan(5, 3)]


def test_a_key_revoked_again_is_no_change(accounts: StubAccounts) -> None:
    """The first moment stays, and nobody has to read the accounts again."""
    one = key("k")
    accounts.add_key(one)
    accounts.revoke_key(one.id, 5)
    before = accounts.version()
    assert accounts.revoke_key(one.id, 6).revoked_ns == 5
    assert accounts.version() == before


@pytest.mark.parametrize(
    ("sources", "customer", "taken"),
    [
        (("a",), ACME, None),
        (("a",), BURNS, "a"),
        (("b", "a"), BURNS, "a"),
        (("b",), BURNS, None),
        ((), BURNS, None),
        ((ANY_SOURCE,), BURNS, None),
    ],
)
def test_a_source_belongs_to_one_customer(
    sources: tuple[str, ...], customer: CustomerId, taken: str | None
) -> None:
    """The same customer may have it in several keys; another's key is refused by name."""
    accounts = StubAccounts()
    for name in (ACME, BURNS):
        accounts.add_customer(Customer(name, 1))
    mine = key("mine", *sources, customer=customer)
    accounts.add_key(key("first", "a"))
    if taken is None:
        accounts.add_key(mine)
        assert {accounts.source_owner(source) for source in sources} <= {customer}
        return
    with pytest.raises(UserError, match=f"source '{taken}' belongs to customer acme, by key "):
        accounts.add_key(mine)
    assert accounts.key(mine.id) is None
    assert accounts.source_owner("b") is None
