"""Kills that any change of the disk may meet, in this process and without its death."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def kill(
    patched: pytest.MonkeyPatch, changes: Sequence[tuple[object, str]], at: int, run: Callable[[], object]
) -> bool:
    """Run until the ``at``-th change of the disk, which still happens or not, in turns. Whether it came so far.

    ``changes``: the functions that change it, (module, name).
    """
    count = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at // 2 + 1:
                if at % 2:
                    original(*arguments, **options)
                raise Killed
            return original(*arguments, **options)

        return change

    for owner, name in changes:
        patched.setattr(owner, name, counted(getattr(owner, name)))
    try:
        run()
    except Killed:
        return True
    return False
