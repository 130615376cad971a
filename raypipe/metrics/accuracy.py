"""How well scores tell two classes apart. Recipes measure themselves by the same functions, which live below them."""

from raypipe.blocks.accuracy import area_under_roc, balanced_accuracy, share_found

__all__ = ["area_under_roc", "balanced_accuracy", "share_found"]
