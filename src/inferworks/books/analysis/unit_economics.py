"""Unit economics: cost of one more customer, contribution of one, and the break-even number.

"What does one more customer cost?" has no single value. In the short run it is the avoidable cost of the
customer; over a year it is also the capacity that the customer uses. Both are computed, and the answer is
the interval between them, from the present paying customers. It does not hold for a customer unlike them.

A customer *pays* when it earned something in the span. Means are fractions, kept exact and rounded only
when they are written; where a figure has no meaning (no customers, a contribution that is not positive)
there is a text and no number.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import msgspec

from inferworks.books.analysis.bridge import Step, Views, build, shipped_views
from inferworks.books.charge import Function
from inferworks.books.statement.computation import Line
from inferworks.books.statement.statement import Statement
from inferworks.money import format_pico
from inferworks.purpose import Purpose


class CustomerEconomics(msgspec.Struct, frozen=True):
    """One paying customer. Amounts in picounits."""

    customer: str
    revenue_pico: int
    least_cost_pico: int
    """Avoidable cost of the customer: the short run."""
    most_cost_pico: int
    """Avoidable cost plus the committed capacity that the customer used."""

    @property
    def contribution_pico(self) -> int:
        """Return the short-run contribution, in picounits."""
        return self.revenue_pico - self.least_cost_pico

    @property
    def capacity_contribution_pico(self) -> int:
        """Return the contribution with used committed capacity counted as cost, in picounits."""
        return self.revenue_pico - self.most_cost_pico


class Economics(msgspec.Struct, frozen=True):
    """The unit economics of a statement. Amounts in picounits of `currency`."""

    currency: str
    customers: tuple[CustomerEconomics, ...]
    """The paying customers, by name."""
    free_cost_pico: int
    """Cost of users who do not pay, in every function."""
    fixed_pico: int
    """Cost of revenue that paying customers did not cause in the short run."""
    research_and_development_pico: int
    other_pico: int
    """Sales, marketing and administration."""

    @property
    def contribution_pico(self) -> int:
        """Return the short-run contribution of all paying customers, in picounits."""
        return sum(customer.contribution_pico for customer in self.customers)

    @property
    def to_cover_pico(self) -> int:
        """Fixed, research and other cost: what contributions have to cover."""
        return self.fixed_pico + self.research_and_development_pico + self.other_pico

    @property
    def least_cost_per_customer_pico(self) -> Fraction | None:
        """The lower end of what one more customer costs; None without paying customers."""
        return self._mean(sum(customer.least_cost_pico for customer in self.customers))

    @property
    def most_cost_per_customer_pico(self) -> Fraction | None:
        """The upper end of what one more customer costs; None without paying customers."""
        return self._mean(sum(customer.most_cost_pico for customer in self.customers))

    @property
    def contribution_per_customer_pico(self) -> Fraction | None:
        """Return the mean short-run contribution of a paying customer in picounits; None without any."""
        return self._mean(self.contribution_pico)

    @property
    def free_cost_per_customer_pico(self) -> Fraction | None:
        """Return the cost of free users per paying customer in picounits; None without any."""
        return self._mean(self.free_cost_pico)

    @property
    def break_even_customers(self) -> int | None:
        """Customers like these that would cover what is to be covered; None when none ever could."""
        if self.to_cover_pico <= 0:
            return 0
        each = self.contribution_per_customer_pico
        if each is None or each <= 0:
            return None
        needed = Fraction(self.to_cover_pico) / each
        return -(-needed.numerator // needed.denominator)

    @property
    def break_even(self) -> str:
        """The answer in words."""
        if self.to_cover_pico <= 0:
            return "there is nothing to cover"
        if not self.customers:
            return "no customer has paid yet, so there is no contribution to count on"
        needed = self.break_even_customers
        if needed is None:
            return "never: the average paying customer costs more than it pays, in the short run"
        return f"{needed} customers like these cover it; there are {len(self.customers)}"

    def _mean(self, amount_pico: int) -> Fraction | None:
        return Fraction(amount_pico, len(self.customers)) if self.customers else None

    def to_json(self) -> dict[str, object]:
        """Return the JSON values: amounts exact, means to 12 decimals."""
        return {
            "currency": self.currency,
            "paying_customers": len(self.customers),
            "one_more_customer_costs": {
                "short_run": mean_text(self.least_cost_per_customer_pico),
                "capacity_inclusive": mean_text(self.most_cost_per_customer_pico),
            },
            "contribution": format_pico(self.contribution_pico),
            "contribution_per_customer": mean_text(self.contribution_per_customer_pico),
            "free_users_cost": format_pico(self.free_cost_pico),
            "free_users_cost_per_customer": mean_text(self.free_cost_per_customer_pico),
            "to_cover": {
                "fixed": format_pico(self.fixed_pico),
                "research_and_development": format_pico(self.research_and_development_pico),
                "other": format_pico(self.other_pico),
                "total": format_pico(self.to_cover_pico),
            },
            "break_even_customers": self.break_even_customers,
            "break_even": self.break_even,
            "customers": [
                {
                    "customer": each.customer,
                    "revenue": format_pico(each.revenue_pico),
                    "cost_short_run": format_pico(each.least_cost_pico),
                    "cost_capacity_inclusive": format_pico(each.most_cost_pico),
                    "contribution": format_pico(each.contribution_pico),
                    "contribution_capacity_inclusive": format_pico(each.capacity_contribution_pico),
                }
                for each in self.customers
            ],
        }


def economics(statement: Statement, views: Views | None = None) -> Economics:
    """Return the unit economics of `statement`, under any policy."""
    views = views or shipped_views()
    revenue: dict[str, int] = defaultdict(int)
    for row in statement.revenue_rows:
        revenue[row.customer] += row.amount_pico
    lines: dict[str, list[Line]] = defaultdict(list)
    functions: dict[Function, int] = defaultdict(int)
    free_pico = 0
    for line in statement.lines:
        functions[line.function_under(views.gaap)] += line.amount_pico
        free_pico += line.amount_pico if line.target.purpose is Purpose.SERVE_FREE else 0
        if line.target.customer is not None:
            lines[line.target.customer].append(line)
    customers: list[CustomerEconomics] = []
    for name in sorted(name for name, pico in revenue.items() if pico > 0):
        built = build(statement.currency, revenue[name], lines.get(name, ()), views)
        least_pico = revenue[name] - built.margin_pico(Step.AVOIDABLE)
        most_pico = revenue[name] - built.margin_pico(Step.USED)
        customers.append(CustomerEconomics(name, revenue[name], least_pico, most_pico))
    research_pico = functions[Function.RESEARCH_AND_DEVELOPMENT]
    other_pico = functions[Function.SALES_AND_MARKETING]
    other_pico += functions[Function.GENERAL_AND_ADMINISTRATIVE]
    caused_pico = sum(customer.least_cost_pico for customer in customers)
    return Economics(
        currency=statement.currency,
        customers=tuple(customers),
        free_cost_pico=free_pico,
        fixed_pico=statement.billed_pico - caused_pico - research_pico - other_pico,
        research_and_development_pico=research_pico,
        other_pico=other_pico,
    )


def mean_text(mean: Fraction | None) -> str | None:
    """A mean as a decimal, rounded half to even at 12 decimals; None when there is none."""
    return None if mean is None else format_pico(round(mean))
