"""Pages to look at: the same faces edited by everyone, and strips of growing strength (figures 3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.blocks.sizes import of_size
from raypipe.contract import Faces, Rival
from raypipe.faces import to_signed
from raypipe.methods.l2m_gan.evaluation_edits import Judges
from raypipe.methods.l2m_gan.method import L2M
from raypipe.report import Sheet, SheetRow

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)


def sheets(
    attributes: Sequence[str], systems: Mapping[str, Rival], faces: Faces, judges: Judges, *, count: int
) -> Mapping[str, Sheet]:
    """A page for each attribute: faces that lack it and faces that have it in turn, a column for each system."""
    return {f"edits-{name}": _sheet(name, systems, faces, judges, count) for name in attributes}


def strips(method: L2M, attributes: Sequence[str], faces: Faces, device: torch.device) -> Tensor:
    """[attributes, strengths, 3, s, s]: the first test face that lacks an attribute gets more and more of it."""
    rows = []
    for name in attributes:
        first = int((faces.test["labels"][:, faces.attributes.index(name)] < 0.5).nonzero()[0])
        picture = of_size(to_signed(faces.test["image"][first : first + 1].to(device)), method.size)
        columns = method.represent({"image": picture})
        made = [method.render(method.edit(columns, [Edit(name, strength)]), picture) for strength in STRENGTHS]
        rows.append(torch.cat(made))
    return torch.stack(rows).cpu()


def _sheet(attribute: str, systems: Mapping[str, Rival], faces: Faces, judges: Judges, count: int) -> Sheet:
    able = {name: system for name, system in systems.items() if attribute in system.attributes}
    place = faces.attributes.index(attribute)
    has_it = faces.test["labels"][:, place] > 0.5
    lacking, having = (~has_it).nonzero().flatten().tolist(), has_it.nonzero().flatten().tolist()
    chosen = [face for pair in zip(lacking, having, strict=False) for face in pair][:count]
    size = faces.test["image"].shape[1]
    return Sheet(
        title=f"{attribute}: added to faces that lack it, removed from faces that have it (figure 3)",
        note="Under each: whether the judge sees the attribute.",
        columns=list(able),
        rows=[_row(attribute, bool(has_it[face]), able, faces.test["image"][face], judges, size) for face in chosen],
    )


def _row(
    attribute: str, has_it: bool, systems: Mapping[str, Rival], pixels: Tensor, judges: Judges, size: int
) -> SheetRow:
    picture = to_signed(pixels[None].to(judges.device))
    made = [of_size(system.edited(picture, attribute, -1.0 if has_it else 1.0), size) for system in systems.values()]
    pictures = torch.cat(made).clamp(-1, 1)
    seen = judges.attributes(pictures)[:, judges.attributes.names.index(attribute)] > 0
    captions = [attribute if sees else f"not {attribute}" for sees in seen.tolist()]
    return SheetRow(name=("removed" if has_it else "added",), pictures=pictures.cpu(), captions=captions)
