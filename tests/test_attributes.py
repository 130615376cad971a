from __future__ import annotations

import pytest

from raypipe.attributes import Edit, parse_edit
from raypipe.errors import UnknownAttribute, WrongUsage

ALLOWED = ("smiling", "young")


def test_an_edit_is_read() -> None:
    assert parse_edit("smiling=-1.5", ALLOWED) == Edit("smiling", -1.5)


def test_an_unknown_attribute_is_told_with_the_known() -> None:
    with pytest.raises(UnknownAttribute, match="'smile' is not an attribute of this method; allowed: smiling, young"):
        parse_edit("smile=1", ALLOWED)


@pytest.mark.parametrize("text", ["smiling", "smiling=", "smiling=much", "smiling=nan", "smiling=inf", "smiling=101"])
def test_a_strength_that_is_none_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage):
        parse_edit(text, ALLOWED)
