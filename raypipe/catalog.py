"""Folder name -> method. The only dynamic import of the package.

A method's folder offers ``Config`` (a frozen dataclass), ``load(part, generator, device) -> Method`` and
``build_recipe(config, *, device, sync_gradients) -> Recipe``.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from raypipe import methods
from raypipe.errors import WrongUsage


def method_names() -> tuple[str, ...]:
    """The installed methods, by folder name."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(methods.__path__) if module.ispkg))


def method_module(name: str) -> ModuleType:
    """The folder of a method.

    Raises:
        WrongUsage: there is none of that name.
    """
    if name not in method_names():
        raise WrongUsage(f"{name!r} is not a method; installed: {', '.join(method_names()) or 'none'}")
    return importlib.import_module(f"{methods.__name__}.{name}")
