"""Validation errors of a request's JSON, in OpenAI's words.

The decoder says ``Expected `str | array`, got `int` - at `$.stop` ``; a caller of OpenAI's API knows
"Invalid type for 'stop': expected a string or an array, but got an integer instead." with the code
`invalid_type` and the parameter `stop`. This module translates the first into the second.

Source of the words and codes: answers of api.openai.com to requests with such faults.
"""

from __future__ import annotations

import re

from inferworks.errors import CallError

NOT_JSON = (
    "We could not parse the JSON body of your request. "
    "The API expects a JSON object and the content type application/json."
)

_NOUNS = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_KINDS = {"str": "string", "int": "integer", "float": "decimal", "array": "array"}
_BOUNDS = {
    ">=": ("below minimum value", "below_min_value"),
    "<=": ("above maximum value", "above_max_value"),
}

_PLACE = " - at `"
_MISSING = re.compile(r"Object missing required field `(?P<field>.+?)`")
_TYPE = re.compile(r"Expected `(?P<expected>[a-z |]+)`, got `(?P<got>[a-z]+)`")
_BOUND = re.compile(r"Expected `(?P<kind>int|float)` (?P<sign>>=|<=) (?P<limit>-?[0-9.]+)")
_LENGTH = re.compile(r"Expected `(?P<kind>str|array)` of length (?P<sign>>=|<=) (?P<limit>[0-9]+)")
_RANGE = re.compile(r"(?P<kind>Integer|Number)(?: value)? out of range")
_CHOICE = re.compile(r"Invalid enum value '(?P<given>.*)'", re.DOTALL)


def invalid(text: str) -> CallError:
    """The decoder's complaint `text` as a refusal with status 400; every text has one."""
    # the place stands last, and behind any value like it
    what, sign, place = text.rpartition(_PLACE)
    place = place.removeprefix("key in ")
    where: str | None = None
    if sign and place.startswith("$"):
        where = place.removeprefix("$").removeprefix(".").removesuffix("`")
    else:
        what = text
    if missing := _MISSING.fullmatch(what):
        param = f"{where}.{missing['field']}" if where else missing["field"]
        message = f"Missing required parameter: '{param}'."
        return CallError(400, message, code="missing_required_parameter", param=param)
    if not where and _TYPE.fullmatch(what):
        return CallError(400, NOT_JSON)
    message, code = _described(what, where or "body")
    return CallError(400, message, code=code, param=where)


def _described(what: str, where: str) -> tuple[str, str]:
    """Return the message and the code of the complaint `what` about a value at `where`."""
    if match := _TYPE.fullmatch(what):
        kinds = [kind for kind in match["expected"].split(" | ") if kind != "null"]
        expected = " or ".join(_NOUNS.get(kind, kind) for kind in kinds)
        got = _NOUNS.get(match["got"], match["got"])
        message = f"Invalid type for '{where}': expected {expected}, but got {got} instead."
        return message, "invalid_type"
    if match := _BOUND.fullmatch(what):
        kind, limit = _KINDS[match["kind"]], match["limit"].removesuffix(".0")
        words, code = _BOUNDS[match["sign"]]
        message = f"Invalid '{where}': {kind} {words}. Expected a value {match['sign']} {limit}."
        return message, f"{kind}_{code}"
    if match := _LENGTH.fullmatch(what):
        kind, limit = _KINDS[match["kind"]], match["limit"]
        article = "an" if kind == "array" else "a"
        if match["sign"] == "<=":
            message = f"{kind} too long. Expected {article} {kind} with maximum length {limit}."
            return f"Invalid '{where}': {message}", f"{kind}_above_max_length"
        message = f"empty {kind}. Expected {article} {kind} with minimum length {limit}."
        return f"Invalid '{where}': {message}", f"empty_{kind}"
    about = "."
    if match := _RANGE.fullmatch(what):
        about = f": {match['kind'].lower()} out of range."
    elif match := _CHOICE.fullmatch(what):
        about = f": {match['given'][:80]!r} is not known."
    return f"Invalid value for '{where}'{about}", "invalid_value"
