"""Names -> methods and recipes. The only dynamic import of the package.

A method's folder offers ``PARTS`` (the parts of a model bundle that it works with) and ``load(parts, device) ->
Method``, which gets them by name. It may offer ``OPTIONAL_PARTS``, which ``load`` gets as well where a bundle has them:
they are to draw with, and neither stored columns nor search vectors depend on them. One that looks at pictures offers
``PICTURE_SIZE``: the part, and the entry of its config, that say how large they must be. What can be trained, a method
or a backbone, offers in its recipe's module (a method: in its folder)

- ``Config``: a frozen dataclass with ``batch`` (rows of the global batch; 0: all rows at every step) and ``steps``,
- ``columns(config)``: what each batch must hold, see ``contract.Recipe``,
- ``build_recipe(config, site) -> Recipe``; ``WrongUsage`` where the data or a missing part make it impossible.

A method whose parts are all made by other recipes offers none.

A method may offer an evaluation as well: see ``pipeline.evaluate.job``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from raypipe import methods
from raypipe.errors import WrongUsage

BACKBONE_RECIPES: Mapping[str, str] = {
    "stylegan2": "raypipe.backbones.stylegan2.recipe",
    "stargan2": "raypipe.backbones.stargan2.recipe",
    "psp": "raypipe.backbones.psp.recipe",
    "e4e": "raypipe.backbones.psp.recipe_e4e",
    "autoencoder": "raypipe.backbones.psp.recipe_autoencoder",
    "identity": "raypipe.backbones.identity.recipe",
    "attributes": "raypipe.backbones.attributes.recipe",
}


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


def recipe_names() -> tuple[str, ...]:
    """What can be trained."""
    return (*BACKBONE_RECIPES, *(name for name in method_names() if hasattr(method_module(name), "build_recipe")))


def recipe_module(name: str) -> ModuleType:
    """The module of a recipe.

    Raises:
        WrongUsage: there is none of that name.
    """
    if name in BACKBONE_RECIPES:
        return importlib.import_module(BACKBONE_RECIPES[name])
    if name not in recipe_names():
        raise WrongUsage(f"{name!r} is not a recipe; recipes: {', '.join(recipe_names())}")
    return method_module(name)
