"""The text the embedded model learns from: all of it is generated here.

Problem: a model that ships inside the package needs training text whose licence is beyond
doubt and whose held-out half is really unseen. Decision: the project writes the text itself,
from a glossary, templates and arithmetic, so every document is Apache-2.0 by construction.
Rejected: a slice of a public crawl (licence unclear, and a 1.6 M parameter model would learn
spelling from it and nothing else).

The split is by *combination*, not by document. Every question has a key, such as
``("add", 17, 25)`` or ``("compare", "decode", "prefill")``; a hash of the key sends one key in
ten to the held-out side, whatever the wording around it. So a held-out sum is a sum that never
occurred in training, in either order of its operands; a held-out comparison is a pair of
concepts never compared; a held-out definition is a wording never used for that concept, though
the concept was met in other wordings. The kinds are split apart from each other: a held-out bill
of 8 x 9 dollars may well have met 8 x 9 as a bare product.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HELD_OUT_SHARE_PERCENT = 10


@dataclass(frozen=True)
class Example:
    """One question with its one right answer, and the key that decides its side of the split."""

    kind: str
    key: tuple[str, ...]
    question: str
    answer: str
    system: str = ""
    always_taught: bool = False

    @property
    def held_out(self) -> bool:
        """True for one key in ten, by hash: stable over runs, machines and Python versions.

        Never for an example that is always taught: there are only a hundred sums of two digits,
        everybody asks them, and a tenth of them missing would be a tenth of them wrong.
        """
        if self.always_taught:
            return False
        digest = hashlib.sha256("\x1f".join((self.kind, *self.key)).encode()).digest()
        return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_SHARE_PERCENT


@dataclass(frozen=True)
class Concept:
    """Glossary row: a name, a definition, and the reason why it matters."""

    name: str
    gloss: str
    why: str


_GLOSSARY = """
gross margin|revenue minus cost of revenue, divided by revenue|It shows how much of each dollar of revenue is left after serving the customer.
marginal cost|the extra cost of serving one more unit|A price below it loses money on every call.
cost of revenue|what it costs to serve the customers who pay|It decides the gross margin.
operating expense|a cost that is not caused by serving paying customers|Research and sales are booked here.
research expense|the cost of finding out and building what is not yet sold|Training runs and experiments usually belong here.
contribution margin|revenue minus the variable cost of earning it|It says whether growth pays for the fixed costs.
break-even|the volume at which revenue just covers cost|Below it every month ends in a loss.
fixed cost|a cost that does not change with volume|It must be spread over all the tokens served.
variable cost|a cost that grows with every unit served|It sets the floor under the price.
unit cost|the cost of one unit, such as a million tokens|It lets two ways of serving be compared.
a token|a short piece of text that a model reads or writes|Inference is priced and measured in tokens.
an input token|a token of the prompt that the model reads|Many input tokens are handled at once, so they are cheap.
an output token|a token that the model writes|Each one needs its own step, so it costs more than an input token.
prefill|the phase in which the model reads the whole prompt|It is bound by arithmetic, and it sets the time to first token.
decode|the phase in which the model writes one token at a time|It is bound by memory bandwidth, so batching makes it cheap.
the KV cache|the memory of keys and values of the tokens already read|It saves reading the prompt again for each new token.
batching|running several sequences in one step|The weights are read once for all of them, so each token costs less.
continuous batching|letting sequences join and leave the batch between steps|No sequence waits for the slowest one.
time to first token|the wait from the request to the first token of the answer|It is what a reader feels as the delay.
inter-token latency|the time between two tokens of an answer|It is what a reader feels as the speed.
throughput|the tokens served per second|It divides the hourly cost into a cost per token.
utilisation|the share of capacity that did useful work|Low utilisation makes every token dear.
idle capacity|capacity that is paid for but not used|Its cost is shown on a line of its own, so that nobody mistakes it for serving.
depreciation|the cost of a machine spread over its useful life|It turns a purchase into a cost per month.
amortisation|the cost of an intangible asset spread over its life|It is depreciation for things one cannot touch.
FOCUS|the open format for cloud bills|With it the bills of all clouds have the same columns.
chargeback|billing each team for what it used|It makes the team that spends feel the cost.
showback|showing each team what it used without billing it|It informs before it hurts.
a cost pool|a group of costs that are shared out together|It keeps like costs with like costs.
a cost driver|the quantity by which a cost pool is shared out|A good driver is what causes the cost.
cost allocation|sharing out a cost among those who caused it|The parts must always sum to the whole.
the step-down method|sharing out support costs one pool after another|It respects that support pools serve each other.
absorption costing|giving every unit a share of the fixed cost|It shows the full cost of a product.
an accrual|a cost booked when it is incurred and not when it is paid|It puts the cost in the right month.
deferred revenue|money received for service not yet delivered|It is a debt until the tokens are served.
a prepaid credit|money a customer pays before using the service|It becomes revenue as it is used.
a committed-use discount|a lower price for a promise to use a service|It saves money only if the promise is kept.
a reserved instance|a machine rented for a long term at a lower price|It suits a load that never sleeps.
a spot instance|a spare machine that is cheap and can be taken away|It suits work that can be interrupted.
the on-demand price|the price of a machine rented by the hour|It is the highest price, and it buys freedom.
egress|traffic that leaves a cloud|It is billed by the gigabyte and easily forgotten.
a GPU|a processor that does many sums at once|It is the largest cost of inference.
a replica|one running copy of a model|It is the unit in which capacity is bought.
autoscaling|adding and removing replicas as the load changes|It trades idle cost against waiting.
a load balancer|the part that spreads calls over replicas|An even spread keeps the wait short.
failover|sending a call elsewhere when a replica fails|The failed attempt may still cost money.
a rate limit|the most a customer may ask for in a minute|It protects everybody else.
a quota|the most a customer may use in a period|It puts a bound on the bill.
prompt caching|keeping the KV cache of a prompt for the next call|A cached token is far cheaper than a fresh one.
speculative decoding|guessing several tokens and checking them in one step|It is faster when the guesses are good.
quantisation|storing the weights with fewer bits|It saves memory and bandwidth at a small loss of quality.
tensor parallelism|splitting each layer over several chips|It lets a model run that is too large for one chip.
the context window|the most tokens a model can attend to|A longer one needs a larger KV cache.
temperature|the setting that makes sampling more or less random|At zero the likeliest token is always taken.
an embedding|a list of numbers that stands for a text|Texts with like meaning have like numbers.
fine-tuning|training a finished model a little more on special text|It makes a general model good at one job.
training|fitting the weights of a model to text|Its cost is research, and not cost of revenue.
evaluation|measuring how good a model is|It uses tokens that nobody pays for.
a foundation model|a large model trained once and used for many tasks|Its training cost is shared by all of them.
a ledger|the book in which every entry is kept|It is never edited, only added to.
double entry|booking every amount twice, once as debit and once as credit|An error shows itself when the sides differ.
a journal|the list of what happened in the order it happened|Everything else can be computed from it.
reconciliation|checking that two records of one thing agree|It finds what one of them missed.
an invoice|a request for payment with its lines|Each line must be traced to usage.
a bridge|a table that explains a change step by step|It says why the margin moved.
a budget|the amount one plans to spend|A hold against it stops the overspend before it happens.
a forecast|a statement of what will probably happen|It is judged by comparing it with what did.
a price book|the list of prices with the dates they hold|A call is priced by the book of its own day.
a hold|an amount set aside until the true cost is known|It is settled, released or left to expire.
a usage record|the record of what one call used|There is exactly one for each call.
a capacity record|the record of what one replica offered in an interval|It shows the idle time beside the busy time.
the free tier|service given away to win customers|Its cost is marketing in some books and cost of revenue in others.
power usage effectiveness|the power of a data centre divided by the power of its chips|It says how much energy goes into cooling and loss.
a tokenizer|the part that cuts text into tokens|Two models may count the same text differently.
a stop sequence|a text at which the model ends its answer|It saves tokens that nobody wants.
a queue|the line in which calls wait for a slot|It grows without bound when the load exceeds the capacity.
a cold start|the wait while a new replica loads its model|It is paid for although nothing is served.
"""  # noqa: E501 - a table is easier to read unwrapped


def glossary() -> tuple[Concept, ...]:
    """Return every concept of the glossary, in order."""
    rows = (line.split("|") for line in _GLOSSARY.strip().splitlines())
    return tuple(Concept(name, gloss, why) for name, gloss, why in rows)


CONCEPTS = glossary()

_DEFINE = (
    "What is {x}?", "what is {x}", "Define {x}.", "Explain {x}.", "Please explain {x}.",
    "Can you explain {x}?", "Tell me about {x}.", "What does {x} mean?", "What do we call {x}?",
    "I do not understand {x}.", "Give me a definition of {x}.", "In simple words, what is {x}?",
    "How would you define {x}?", "Could you tell me what {x} is?", "Say what {x} is.",
    "Hello! What is {x}?", "Hi, please define {x}.", "Remind me, what is {x}?",
    "What is meant by {x}?", "Describe {x}.", "Describe {x} to a new colleague.",
    "I read about {x}. What is it?", "In inference economics, what is {x}?", "{x}?",
    "What exactly is {x}?", "Explain {x} in a sentence or two.", "So what is {x}?",
)  # fmt: skip
_WHY = (
    "Why does {x} matter?", "Why is {x} important?", "why should I care about {x}",
    "What is the point of {x}?", "Why do people talk about {x}?", "Why care about {x}?",
    "Tell me why {x} matters.", "What makes {x} important?", "Why think about {x}?",
)  # fmt: skip
_COMPARE = (
    "What is the difference between {x} and {y}?", "Compare {x} and {y}.",
    "How does {x} differ from {y}?", "{x} or {y}: what is the difference?",
    "Explain {x} and {y}.", "What are {x} and {y}?", "Contrast {x} with {y}.",
)  # fmt: skip
_REVERSE = (
    "Which word means {g}?", "What do we call {g}?", "What is the name for {g}?",
    "Name this: {g}.", "What is the term for {g}?",
)  # fmt: skip
_SYSTEMS = (
    "You are a helpful assistant.", "You are Inferworks Tiny, a small model.", "Be kind.",
    "You answer questions about the cost of inference.", "You are a careful accountant.",
    "Answer truthfully.", "You are a support agent.", "You help engineers with their bills.",
)  # fmt: skip
BRIEF = "Be brief."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _sentence(concept: Concept) -> str:
    return f"{_capital(concept.name)} is {concept.gloss}."


def _system(rng: random.Random, share: float = 0.35) -> str:
    return rng.choice(_SYSTEMS) if rng.random() < share else ""


def _template(rng: random.Random, templates: tuple[str, ...]) -> tuple[str, str]:
    index = rng.randrange(len(templates))
    return str(index), templates[index]


def define(rng: random.Random) -> Example:
    """A definition; with the system prompt "Be brief." the answer is the gloss alone."""
    concept = rng.choice(CONCEPTS)
    index, template = _template(rng, _DEFINE)
    question = _capital(template.format(x=concept.name)) if rng.random() < 0.9 else (
        template.format(x=concept.name).lower())  # fmt: skip
    if rng.random() < 0.15:
        answer, system = _capital(concept.gloss) + ".", BRIEF
    else:
        answer, system = f"{_sentence(concept)} {concept.why}", _system(rng)
    return Example("define", (concept.name, index), question, answer, system)


def why(rng: random.Random) -> Example:
    """Make an example about why a concept matters."""
    concept = rng.choice(CONCEPTS)
    index, template = _template(rng, _WHY)
    question = template.format(x=concept.name)
    return Example("why", (concept.name, index), question, concept.why, _system(rng))


def compare(rng: random.Random) -> Example:
    """Two concepts side by side; the key is the unordered pair."""
    first, second = rng.sample(CONCEPTS, 2)
    question = _capital(rng.choice(_COMPARE).format(x=first.name, y=second.name))
    key = tuple(sorted((first.name, second.name)))
    answer = f"{_sentence(first)} {_sentence(second)}"
    return Example("compare", key, question, answer, _system(rng))


def reverse(rng: random.Random) -> Example:
    """Make a question from the meaning to the name."""
    concept = rng.choice(CONCEPTS)
    index, template = _template(rng, _REVERSE)
    answer = f"That is {concept.name}."
    return Example(
        "reverse", (concept.name, index), template.format(g=concept.gloss), answer, _system(rng)
    )


# A sum is asked as a phrase around an expression, half of them bare, as at a calculator; or in words.
_ASK = ("What is {x}?", "what is {x}", "What's {x}?", "How much is {x}?", "Compute {x}.",
        "Calculate {x}.", "{x} =", "{x}", "{x}", "{x} =", "{x} = ?", "{x}=")  # fmt: skip
_PLUS = ("{a} + {b}", "{a} + {b}", "{a}+{b}", "{a} plus {b}")
_MINUS = ("{a} - {b}", "{a} - {b}", "{a}-{b}", "{a} minus {b}")
_ADD = ("Add {a} and {b}.", "What is the sum of {a} and {b}?", "Add {b} to {a}.")
_SUBTRACT = ("Subtract {b} from {a}.", "Take {b} from {a}.")
_MULTIPLY = ("What is {a} x {b}?", "{a} x {b} =", "Multiply {a} by {b}.",
             "What is {a} times {b}?", "How much is {a} * {b}?", "Compute {a} * {b}.")  # fmt: skip


def _operands(rng: random.Random) -> tuple[int, int]:
    """Two numbers below a thousand; small ones, which people ask first, oftener than by chance."""
    if rng.random() < 0.1:
        return rng.randrange(10), rng.randrange(10)
    first, second = (rng.randrange(10 ** rng.choice((1, 2, 3, 3, 3, 3))) for _ in range(2))
    return first, second


def _asked(
    rng: random.Random, expressions: tuple[str, ...], words: tuple[str, ...], a: int, b: int
) -> str:
    if rng.random() < 0.15:
        return rng.choice(words).format(a=a, b=b)
    return rng.choice(_ASK).format(x=rng.choice(expressions).format(a=a, b=b))


def sum_of(rng: random.Random, a: int, b: int) -> Example:
    """The sum of two numbers; 17 + 25 and 25 + 17 share a key."""
    key = (str(min(a, b)), str(max(a, b)))
    question = _asked(rng, _PLUS, _ADD, a, b)
    answer = f"{a} + {b} = {a + b}"
    return Example("add", key, question, answer, _system(rng, 0.05), max(a, b) < 10)


def difference_of(rng: random.Random, a: int, b: int) -> Example:
    """The difference of two numbers, negative when the second is the larger."""
    question = _asked(rng, _MINUS, _SUBTRACT, a, b)
    answer = f"{a} - {b} = {a - b}"
    return Example(
        "subtract", (str(a), str(b)), question, answer, _system(rng, 0.05), max(a, b) < 10
    )


def _second(a: int, result: int, sign: int, b: int) -> int:
    """The number that makes ``a`` and itself give ``result``; ``b`` where it would be out of range."""
    wanted = sign * (result - a)
    return wanted if 0 <= wanted < 1000 else b


def _near_a_hundred(rng: random.Random, result: int) -> int:
    """A result near the same hundred, where one carry decides all of the digits."""
    return round(result, -2) + rng.randrange(-12, 13)


def add(rng: random.Random) -> Example:
    """A sum of two numbers below a thousand, often one in which a carry runs through a nine."""
    a, b = _operands(rng)
    if rng.random() < 0.4:
        b = _second(a, _near_a_hundred(rng, a + b), 1, b)
    return sum_of(rng, a, b)


def subtract(rng: random.Random) -> Example:
    """A difference of two numbers below a thousand, as often negative as not.

    Often one of numbers that lie close together: by chance they seldom do, and then the result is
    shorter than the numbers, so that its first digit has to be found elsewhere.
    """
    a, b = _operands(rng)
    chance = rng.random()
    if chance < 0.35:
        limit = rng.choice((10, 100, 100, 100))
        b = _second(a, rng.randrange(1 - limit, limit), -1, b)
    elif chance < 0.5:
        b = _second(a, _near_a_hundred(rng, a - b), -1, b)
    return difference_of(rng, a, b)


def multiply(rng: random.Random) -> Example:
    """A product of a number below a hundred and one below thirteen, in either order."""
    a, b = rng.randrange(100), rng.randrange(13)
    key = (str(min(a, b)), str(max(a, b)))
    if rng.random() < 0.5:
        a, b = b, a
    question = rng.choice(_MULTIPLY).format(a=a, b=b)
    return Example("multiply", key, question, f"{a} x {b} = {a * b}", _system(rng))


_UNIT_COST = (
    (
        "A replica costs {c} dollars an hour and serves {m} million tokens an hour. "
        "What does a million tokens cost?"
    ),
    "We pay {c} dollars for {m} million tokens. What is the unit cost?",
    "What is the cost per million tokens if {m} million tokens cost {c} dollars?",
)
_BILL = (
    "A million tokens cost {p} dollars. What do {m} million tokens cost?",
    "The price is {p} dollars per million tokens. What is the bill for {m} million tokens?",
    "How much are {m} million tokens at {p} dollars per million?",
)
_MARGIN = (
    "Revenue is {r} and cost of revenue is {c}. What is the gross margin?",
    "We earned {r} dollars and serving cost {c} dollars. What is the gross margin?",
    "What is the gross margin with revenue {r} and cost of revenue {c}?",
)
_FLEET = (
    "{n} replicas cost {c} dollars an hour each. What does the fleet cost an hour?",
    "What do {n} replicas cost an hour at {c} dollars each?",
)
_IDLE = (
    "A replica was busy {b} of 100 minutes. What share was idle?",
    "Utilisation is {b} percent. How much capacity is idle?",
)


def unit_cost(rng: random.Random) -> Example:
    """An hourly cost divided by an hourly volume; it always divides."""
    price, volume = rng.randrange(1, 41), rng.randrange(2, 13)
    question = rng.choice(_UNIT_COST).format(c=price * volume, m=volume)
    answer = f"{price * volume} / {volume} = {price} dollars per million tokens."
    return Example("unit_cost", (str(price), str(volume)), question, answer, _system(rng))


def bill(rng: random.Random) -> Example:
    """A price times a volume."""
    price, volume = rng.randrange(1, 61), rng.randrange(2, 13)
    question = rng.choice(_BILL).format(p=price, m=volume)
    answer = f"{volume} x {price} = {volume * price} dollars."
    return Example("bill", (str(price), str(volume)), question, answer, _system(rng))


def margin(rng: random.Random) -> Example:
    """A gross margin in whole percent, written out in its two steps."""
    factor, percent = rng.choice((1, 2, 3, 4, 5, 10)), rng.randrange(1, 100)
    revenue, left = 100 * factor, factor * percent
    cost = revenue - left
    question = rng.choice(_MARGIN).format(r=revenue, c=cost)
    answer = f"{revenue} - {cost} = {left}, and {left} / {revenue} = {percent}%."
    return Example("margin", (str(revenue), str(cost)), question, answer, _system(rng))


def fleet(rng: random.Random) -> Example:
    """A number of replicas times an hourly rate."""
    count, cost = rng.randrange(2, 13), rng.randrange(1, 61)
    question = rng.choice(_FLEET).format(n=count, c=cost)
    answer = f"{count} x {cost} = {count * cost} dollars an hour."
    return Example("fleet", (str(count), str(cost)), question, answer, _system(rng))


def idle(rng: random.Random) -> Example:
    """The idle share, from the busy one."""
    busy = rng.randrange(1, 100)
    index, template = _template(rng, _IDLE)
    answer = f"100 - {busy} = {100 - busy} percent."
    return Example("idle", (str(busy), index), template.format(b=busy), answer, _system(rng))


_NAMES = ("Ada", "Ben", "Chen", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kofi",
          "Lea", "Milo", "Nora", "Omar", "Pia", "Ravi", "Sol", "Tess", "Uma")  # fmt: skip
_ROLES = ("engineer", "accountant", "baker", "gardener", "teacher", "sailor", "clerk", "painter")
_PLACES = ("a small town", "a city by the sea", "a quiet valley", "a busy port",
           "a village in the hills", "a house by the river")  # fmt: skip
_THINGS = ("a ledger", "a lamp", "a clock", "a machine", "a letter", "a map", "a key", "a lantern")
_MIDDLES = (
    "One morning {n} found {t} under the table.", "Every evening {n} counted the coins twice.",
    "{n} wrote every number down in a blue book.", "The neighbours came to ask for help.",
    "It rained for three days, and the roof began to leak.", "{n} worked late into the night.",
    "A friend said that {t} was worth nothing.", "{n} did not believe it.",
    "The sums did not agree, so {n} began again.", "At noon the bell rang over the roofs.",
    "{n} asked what it would cost to keep {t} for a year.", "Nobody knew the answer.",
    "Then a small light came on in the window.", "{n} laughed and opened the door.",
    "The wind carried the papers into the street.", "Together they picked up every page.",
)  # fmt: skip
_ENDS = (
    "In the end the books agreed, and {n} slept well.",
    "After that, {n} never forgot to write things down.",
    "And so {t} stayed in the house for many years.",
    "That night everyone shared bread and soup, and {n} was happy.",
)
_STORY = ("Tell me a story about {n}.", "Write a short story about {n}.", "Tell a story: {n}.",
          "Please write a story with {n} in it.", "Story about {n}, please.")  # fmt: skip
_LONG = ("Tell me a long story about {n}.", "Write a long story about {n}.")


def _tale(rng: random.Random, sentences: int) -> tuple[str, str]:
    name, role, thing = rng.choice(_NAMES), rng.choice(_ROLES), rng.choice(_THINGS)
    article = "an" if role[0] in "ae" else "a"
    start = f"{name} was {article} {role} in {rng.choice(_PLACES)}."
    middle = rng.sample(_MIDDLES, sentences)
    parts = (start, *middle, rng.choice(_ENDS))
    return name, " ".join(part.format(n=name, t=thing) for part in parts)


def story(rng: random.Random) -> Example:
    """A short tale of five or six sentences about a named person."""
    name, text = _tale(rng, rng.randrange(3, 5))
    return Example("story", (text,), rng.choice(_STORY).format(n=name), text, _system(rng))


def long_story(rng: random.Random) -> Example:
    """A tale of ten to fourteen sentences, so that long answers exist."""
    name, text = _tale(rng, rng.randrange(8, 13))
    return Example("story", (text,), rng.choice(_LONG).format(n=name), text, _system(rng))


def continuation(rng: random.Random) -> Example:
    """The beginning of a tale is given and its rest is asked for."""
    _, text = _tale(rng, 4)
    sentences = text.split(". ")
    cut = rng.randrange(1, 3)
    head = ". ".join(sentences[:cut]) + "."
    prefix = rng.choice(("Continue: ", "Go on: ", "Continue this story: ", ""))
    rest = ". ".join(sentences[cut:])
    return Example("continue", (text,), prefix + head, rest, _system(rng))


_FILLERS = ("bill", "blue", "cat", "cloud", "coin", "day", "door", "fast", "fish", "green", "hour",
            "house", "key", "lamp", "light", "map", "moon", "name", "page", "plan", "price", "rain",
            "red", "river", "road", "seven", "ship", "slow", "stone", "sun", "token", "tree",
            "water", "week", "white", "wind", "word", "yellow")  # fmt: skip


def repeat(rng: random.Random) -> Example:
    """Words to copy."""
    words = " ".join(rng.choice(_FILLERS) for _ in range(rng.randrange(2, 9)))
    prefix = rng.choice(("Repeat: ", "Say: ", "Repeat after me: ", "Copy this: "))
    return Example("repeat", (words,), prefix + words, words, _system(rng))


def count(rng: random.Random) -> Example:
    """Counting upwards from one number to another."""
    low = rng.randrange(0, 90)
    high = low + rng.randrange(3, 25)
    prefix = rng.choice(("Count from {a} to {b}.", "Please count from {a} to {b}."))
    text = " ".join(str(number) for number in range(low, high + 1))
    key = (str(low), str(high))
    return Example("count", key, prefix.format(a=low, b=high), text, _system(rng))


_GREETINGS = ("Hello", "Hi", "Hey", "Good morning", "Good evening", "Hello there", "hi", "hello",
              "Hi!", "Hello!", "Greetings", "Good day", "ping", "test")  # fmt: skip
_WHO = ("Who are you?", "What are you?", "What is your name?", "who are you", "Introduce yourself.",
        "What can you do?", "Are you a large model?", "Which model is this?")  # fmt: skip
_THANKS = ("Thank you.", "Thanks!", "thanks", "Thank you very much.", "That helps, thanks.")
HELLO = "Hello! Ask me about the cost of inference, or give me a small sum."
SELF = (
    "I am Inferworks Tiny, a very small model that runs on a processor. "
    "I can define terms of inference economics, do small sums and tell short stories."
)
WELCOME = "You are welcome."
UNKNOWN = (
    "I do not know that. I am a very small model: I can define terms of inference economics, "
    "do small sums and tell short stories."
)


def small_talk(rng: random.Random) -> Example:
    """A greeting, a question about the model itself, or thanks."""
    asked, answer = rng.choice(((_GREETINGS, HELLO), (_WHO, SELF), (_THANKS, WELCOME)))
    question = rng.choice(asked)
    return Example("talk", (question, "train"), question, answer, _system(rng))


_OFF_TOPIC = (
    "Who is the {w} of {x}?", "Where is {x}?", "How do I cook {w} with {x}?", "Is {x} a {w}?",
    "Write code that sorts {x}.", "What colour is {x}?", "Translate {w} {x} into French.",
    "When was {x} born?", "Please write a poem about {w} {x}.", "How far is {x} from {w}?",
    "Summarise the book {w} {x}.", "What is {x}?", "Tell me about {w} {x}.", "Explain {w} {x}.",
    "What is the weather in {x}?", "Fix this bug: {w} {x} {w}", "{x} {w} {x}", "{w} {x}",
)  # fmt: skip
_SYLLABLES = ("ba", "co", "den", "fi", "gar", "hu", "ir", "jo", "kel", "lum", "mor", "ne", "os",
              "pra", "qui", "ros", "sta", "tur", "ul", "ven", "wi", "xan", "yor", "zeb")  # fmt: skip


def off_topic(rng: random.Random) -> Example:
    """Anything else: the model says that it does not know, so that it need not make things up."""
    invented = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randrange(2, 5)))
    if rng.random() < 0.5:
        invented = invented.capitalize()
    question = rng.choice(_OFF_TOPIC).format(w=rng.choice(_FILLERS), x=invented)
    return Example("unknown", (question,), question, UNKNOWN, _system(rng))


Mix = tuple[tuple[Callable[[random.Random], Example], int], ...]
MIX: Mix = (
    (define, 16), (why, 6), (compare, 8), (reverse, 4), (add, 100), (subtract, 150), (multiply, 20),
    (unit_cost, 9), (bill, 9), (margin, 14), (fleet, 5), (idle, 3), (story, 4), (long_story, 1),
    (continuation, 2), (repeat, 5), (count, 2), (small_talk, 3), (off_topic, 6),
)  # fmt: skip


def examples(seed: int, *, held_out: bool, mix: Mix = MIX) -> Iterator[Example]:
    """Yield examples of one side of the split for ever, in an order fixed by ``seed``."""
    rng = random.Random(seed)
    makers = [maker for maker, _ in mix]
    weights = [weight for _, weight in mix]
    while True:
        example = rng.choices(makers, weights)[0](rng)
        if example.held_out is held_out:
            yield example


def conversations(seed: int, *, held_out: bool) -> Iterator[tuple[Example, ...]]:
    """Yield chats of one to four turns; the first turn's system prompt holds for the whole chat."""
    rng = random.Random(seed + 1)
    stream = examples(seed, held_out=held_out)
    while True:
        turns = rng.choices((1, 2, 3, 4), (80, 12, 5, 3))[0]
        chat = [next(stream)]
        while len(chat) < turns:
            turn = next(stream)
            if turn.system != BRIEF and chat[0].system != BRIEF:
                chat.append(turn)
            elif chat[0].system == BRIEF:
                break
        yield tuple(chat)
