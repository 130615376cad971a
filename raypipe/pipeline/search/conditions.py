"""Filters on label columns as people write them, ``Male=0 and (age>=30 or not hair in (black, brown))``.

::

    any       = all ("or" all)*
    all       = single ("and" single)*
    single    = "not" single | "(" any ")" | column test
    test      = ("=" | "!=" | "<" | "<=" | ">" | ">=") value
              | ["not"] "in" "(" value ("," value)* ")"
              | "between" value "and" value
              | "is" ["not"] "null"

Keywords in either case. A value is a number, true, false, or text; text that is no single word of letters, digits and
``_ . - +`` stands in quotes, a quote inside it twice. A column's name may stand in quotes too. As in SQL, a test of a
row that has no value there does not match, nor does its opposite; ``is null`` finds such rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from raypipe.errors import WrongUsage
from raypipe.retrieval.filters import AllOf, AnyOf, Between, Equals, Filter, Not, Null, OneOf, Value

DEPTH_LIMIT = 50
LENGTH_LIMIT = 10_000

KEYWORDS = frozenset({"and", "or", "not", "in", "between", "is", "null", "true", "false"})
COMPARISONS = ("<=", ">=", "!=", "=", "<", ">")

_TOKEN = re.compile(
    r"\s*(?:(?P<word>[\w.+-]+)|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|(?P<sign><=|>=|!=|[=<>(),])|(?P<other>\S))"
)
_WORD = re.compile(r"[\w.+-]+")
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)


def parse_condition(text: str) -> Filter:
    """The tree of an expression.

    Raises:
        WrongUsage: it is none; the message shows the place.
    """
    if len(text) > LENGTH_LIMIT:
        raise WrongUsage(f"the filter has {len(text):,} characters, at most {LENGTH_LIMIT:,} are allowed")
    parser = _Parser(text)
    tree = parser.any_of(0)
    parser.expect_end()
    return tree


def compared(column: str, sign: str, value: Value) -> Filter:
    """``column sign value``, one of ``COMPARISONS``."""
    if sign == "=":
        return Equals(column, value)
    if sign == "!=":
        return Not(Equals(column, value))
    if sign == "<=":
        return Between(column, None, value)
    if sign == ">=":
        return Between(column, value, None)
    # Not(Between(...)) would also be true for what cannot be compared at all, a float that is not a number.
    return AllOf((compared(column, sign + "=", value), Not(Equals(column, value))))


def as_text(condition: Filter) -> str:
    """An expression that ``parse_condition`` reads as the same tree (of at least one part wherever there are parts)."""
    if isinstance(condition, (AllOf, AnyOf)):
        return (" and " if isinstance(condition, AllOf) else " or ").join(map(_enclosed, condition.parts))
    if isinstance(condition, Not):
        return f"not {_enclosed(condition.part)}"
    name = _column_text(condition.column)
    if isinstance(condition, Null):
        return f"{name} is null"
    if isinstance(condition, Equals):
        return f"{name} = {_value_text(condition.value)}"
    if isinstance(condition, OneOf):
        return f"{name} in ({', '.join(map(_value_text, condition.values))})"
    if condition.low is None or condition.high is None:
        limit = condition.high if condition.low is None else condition.low
        sign = "<=" if condition.low is None else ">="
        return f"{name} is not null" if limit is None else f"{name} {sign} {_value_text(limit)}"
    return f"{name} between {_value_text(condition.low)} and {_value_text(condition.high)}"


def _enclosed(condition: Filter) -> str:
    text = as_text(condition)
    return f"({text})" if isinstance(condition, (AllOf, AnyOf)) else text


def _column_text(name: str) -> str:
    if _WORD.fullmatch(name) and name.lower() not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _value_text(value: Value) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(value)


@dataclass(frozen=True)
class _Token:
    """``start``: its place in the expression."""

    kind: Literal["word", "text", "sign", "end"]
    text: str
    start: int

    def is_word(self, keyword: str) -> bool:
        return self.kind == "word" and self.text.lower() == keyword

    def is_sign(self, sign: str) -> bool:
        return self.kind == "sign" and self.text == sign


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._place = 0

    def any_of(self, depth: int) -> Filter:
        parts = [self._all_of(depth)]
        while self._take_word("or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def expect_end(self) -> None:
        if self._next.kind != "end":
            self._fail("expected 'and', 'or' or the end")

    def _all_of(self, depth: int) -> Filter:
        parts = [self._single(depth)]
        while self._take_word("and"):
            parts.append(self._single(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _single(self, depth: int) -> Filter:
        if depth > DEPTH_LIMIT:
            self._fail(f"more than {DEPTH_LIMIT} levels of parentheses")
        if self._take_word("not"):
            return Not(self._single(depth + 1))
        if self._take_sign("("):
            inner = self.any_of(depth + 1)
            self._expect_sign(")")
            return inner
        return self._test(self._column())

    def _test(self, column: str) -> Filter:
        for sign in COMPARISONS:
            if self._take_sign(sign):
                return compared(column, sign, self._value())
        if self._take_word("between"):
            low = self._value()
            if not self._take_word("and"):
                self._fail("expected 'and' and the upper limit of 'between'")
            return Between(column, low, self._value())
        if self._take_word("is"):
            is_not = self._take_word("not")
            if not self._take_word("null"):
                self._fail("expected 'null'")
            return Not(Null(column)) if is_not else Null(column)
        is_not = self._take_word("not")
        if not self._take_word("in"):
            self._fail("expected 'in'" if is_not else f"expected one of {' '.join(COMPARISONS)} in between is")
        found = OneOf(column, self._values())
        return Not(found) if is_not else found

    def _column(self) -> str:
        token = self._next
        is_name = token.kind == "word" and token.text.lower() not in KEYWORDS
        if not is_name and token.kind != "text":
            self._fail("expected a column")
        self._place += 1
        return token.text if is_name else _unquoted(token.text)

    def _values(self) -> tuple[Value, ...]:
        self._expect_sign("(")
        values = [self._value()]
        while self._take_sign(","):
            values.append(self._value())
        self._expect_sign(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._next
        if token.kind == "text":
            self._place += 1
            return _unquoted(token.text)
        word = token.text.lower()
        if token.kind != "word" or word in KEYWORDS - {"true", "false"}:
            self._fail("expected a value")
        self._place += 1
        if word in ("true", "false"):
            return word == "true"
        if _INTEGER.fullmatch(word):
            return int(word)
        return float(word) if _NUMBER.fullmatch(word) else token.text

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take_word(self, keyword: str) -> bool:
        found = self._next.is_word(keyword)
        self._place += found
        return found

    def _take_sign(self, sign: str) -> bool:
        found = self._next.is_sign(sign)
        self._place += found
        return found

    def _expect_sign(self, sign: str) -> None:
        if not self._take_sign(sign):
            self._fail(f"expected {sign!r}")

    def _split(self) -> list[_Token]:
        tokens = []
        for match in _TOKEN.finditer(self._text.rstrip()):
            start = match.start(match.lastgroup or 0)
            if match["other"]:
                quote = match["other"] in "'\""
                self._fail_at("a quote that is not closed" if quote else "a character that has no meaning here", start)
            kind: Literal["word", "text", "sign"] = "word" if match["word"] else "text" if match["text"] else "sign"
            tokens.append(_Token(kind, match[kind], start))
        return [*tokens, _Token("end", "", len(self._text.rstrip()))]

    def _fail(self, what: str) -> NoReturn:
        token = self._next
        self._fail_at(f"{what}, got {token.text!r}" if token.text else f"{what}, but the filter ends", token.start)

    def _fail_at(self, what: str, place: int) -> NoReturn:
        shown = re.sub(r"\s", " ", self._text)
        raise WrongUsage(f"filter: {what}\n  {shown}\n  {' ' * place}^")


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])
