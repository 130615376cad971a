from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from raypipe.config import Range, as_dict, check_ranges, read_config, read_yaml
from raypipe.errors import WrongUsage


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int
    inner: Inner = field(default_factory=Inner)
    note: str | None = None


def test_overrides_come_after_the_file() -> None:
    config = read_config(Outer, {"count": 1, "inner": {"rate": 2}}, ["count=3", "inner.names=[a, b]", "note=null"])
    assert config == Outer(count=3, inner=Inner(rate=2.0, names=("a", "b")))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(WrongUsage) as raised:
        read_config(Outer, {"inner": {"rate": "fast", "speed": 1}}, ["cuont=2", "no equals sign"])
    message = str(raised.value)
    for part in ("'no equals sign'", "'cuont'", "missing key 'count'", "'inner.speed'", "'inner.rate' must be float"):
        assert part in message


@pytest.mark.parametrize("value", [True, 1.5, "1"])
def test_an_integer_is_no_other_thing(value: object) -> None:
    with pytest.raises(WrongUsage, match="'count' must be int"):
        read_config(Outer, {"count": value})


@pytest.mark.parametrize("text", ["1e-4", "0.0001", "1.0e-4"])
def test_numbers_may_be_written_as_people_do(text: str) -> None:
    """YAML 1.1 takes the first for a word."""
    assert read_config(Outer, {"count": 1}, [f"inner.rate={text}"]).inner.rate == 1e-4


@pytest.mark.parametrize("text", [".nan", ".inf", "fast", "true"])
def test_a_number_is_a_finite_one(text: str) -> None:
    with pytest.raises(WrongUsage, match=r"'inner\.rate' must be float"):
        read_config(Outer, {"count": 1}, [f"inner.rate={text}"])


def test_an_override_that_is_no_yaml_is_a_mistake_like_others() -> None:
    with pytest.raises(WrongUsage, match=r"(?s)'inner\.rate=\[': the value is not valid YAML.*missing key 'count'"):
        read_config(Outer, {}, ["inner.rate=["])


def test_a_config_survives_being_written_down() -> None:
    config = Outer(count=2, inner=Inner(names=("x",)))
    assert read_config(Outer, as_dict(config)) == config


@pytest.mark.parametrize("text", ["- a", "a: [", "5"])
def test_yaml_that_is_no_mapping_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage):
        read_yaml(text)


def test_a_range_has_its_least_and_most_and_not_what_it_is_above_and_below() -> None:
    assert 0 in Range(least=0, below=1)
    assert 1 in Range(above=0, most=1)
    assert 0 not in Range(above=0, most=1)
    assert 1 not in Range(least=0, below=1)
    assert -0.1 not in Range(least=0)
    assert 1.1 not in Range(most=1)
    assert math.nan not in Range()


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (Range(least=1), "at least 1"),
        (Range(least=0, most=0.5), "from 0 to 0.5"),
        (Range(above=0, most=1), "above 0 and at most 1"),
        (Range(least=0, below=1), "at least 0 and below 1"),
    ],
)
def test_a_range_is_told_in_words(allowed: Range, words: str) -> None:
    assert str(allowed) == words


def test_all_numbers_out_of_their_ranges_and_what_else_is_wrong_are_told_at_once() -> None:
    config = Outer(count=0, inner=Inner(rate=2.5))
    check_ranges(config, {"count": Range(least=0), "note": Range(above=0)})  # no note is in any range
    with pytest.raises(WrongUsage, match=r"^count must be above 0, got 0\nnobody is there$"):
        check_ranges(config, {"count": Range(above=0)}, ["nobody is there"])
    with pytest.raises(WrongUsage, match=r"^nobody is there$"):
        check_ranges(config, {"count": Range(least=0)}, ["nobody is there"])
    with pytest.raises(WrongUsage, match=r"^rate must be from 0 to 1, got 2\.5$"):
        check_ranges(config.inner, {"rate": Range(least=0, most=1)})
