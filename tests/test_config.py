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


def test_a_config_survives_being_written_down() -> None:
    config = Outer(count=2, inner=Inner(names=("x",)))
    assert read_config(Outer, as_dict(config)) == config


@pytest.mark.parametrize("text", ["- a", "a: [", "5"])
def test_yaml_that_is_no_mapping_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage):
        read_yaml(text)
