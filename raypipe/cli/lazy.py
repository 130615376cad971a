"""Commands that are imported when they are called: ``--help`` and a mistyped word need not wait for PyTorch."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup


class LazyCommand(TyperCommand):
    """A name and its line in the list; what is behind it is imported once it is asked for.

    Args:
        where: ``module:attribute`` of a function, or of a ``typer.Typer`` for what a function alone cannot say.
        line: what the list says of it.
    """

    def __init__(self, name: str, where: str, line: str) -> None:
        super().__init__(name, help=line)
        self._where = where

    @functools.cached_property
    def behind(self) -> Any:
        """The whole command, with its options and subcommands."""
        module, _, attribute = self._where.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return typer.main.get_command(alone)


class LazyGroup(TyperGroup):
    """Commands of which only the called one is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, loaded(command), rest


def loaded(command: Any) -> Any:
    """What is behind a ``LazyCommand``; any other command as it is."""
    return command.behind if isinstance(command, LazyCommand) else command
