from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from raypipe.config import as_dict, read_config, read_yaml
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
