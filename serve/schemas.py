"""What can be asked, as JSON. Unknown fields, wrong types and numbers that are not finite are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from raypipe.attributes import STRENGTH_LIMIT, Edit
from raypipe.errors import WrongUsage
from raypipe.pipeline.search import query as engine
from raypipe.pipeline.search.conditions import LENGTH_LIMIT, parse_condition
from raypipe.pipeline.search.conditions_json import condition_from_json
from raypipe.retrieval.filters import Filter
from raypipe.retrieval.space import WEIGHT_LIMIT
from serve.backend import Change
from serve.pictures import PictureFormat

CODE_AXES = 4

METHOD = "Empty: the one that can, or of several the one of the index's first space."

Name = Annotated[str, Field(max_length=1024)]
Strength = Annotated[float, Field(ge=-STRENGTH_LIMIT, le=STRENGTH_LIMIT)]
Share = Annotated[float, Field(ge=0, le=1)]
Displacement = Annotated[float, Field(ge=-engine.MOVE_LIMIT, le=engine.MOVE_LIMIT)]
Preference = Annotated[float, Field(ge=0, le=WEIGHT_LIMIT)]
Weight = Annotated[float, Field(gt=0, le=WEIGHT_LIMIT)]


class Question(BaseModel):
    """Anything that is asked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FaceOf(Question):
    """Where a face comes from: exactly one of the three."""

    id: Name | None = Field(None, description="A face of the collection.")
    codes: dict[Name, list[Any]] | None = Field(
        None, description="Codes by column, numbers in nested lists, as POST /v1/encode answers with."
    )
    upload: Name | None = Field(
        None, description="The name of a file part of the same multipart/form-data body, a picture."
    )

    @model_validator(mode="after")
    def _is_one(self) -> FaceOf:
        if sum(value is not None for value in (self.id, self.codes, self.upload)) != 1:
            raise ValueError("give exactly one of id, codes and upload")
        return self


class LikeFace(Question):
    """Another face that hits are to be like, in one space."""

    space: Name
    face: FaceOf
    weight: Weight = 1.0


class SearchQuestion(Question):
    """Faces like one, but."""

    face: FaceOf | None = Field(None, description="What is looked for; none: only what `like` says.")
    space: Name = Field("", description="METHOD.SPACE, or SPACE where that is clear; empty: the index's first.")
    weight: Weight = Field(1.0, description="Of the distance to `face` beside those of `like`.")
    adjust: dict[Name, Share] = Field({}, description="What attributes are to be, from 0, the least, to 1, the most.")
    move: dict[Name, Displacement] = Field({}, description="How far attributes are to go along their coordinates.")
    prefer: dict[Name, Preference] = Field({}, description="What attributes matter: 0 not at all; 1 where not named.")
    like: list[LikeFace] = Field([], max_length=engine.LIKE_LIMIT)
    where: Annotated[str, Field(max_length=LENGTH_LIMIT)] | dict[str, Any] | None = Field(
        None, description="Which rows may be hits: `Male=0 and age>=30`, or the same as a tree."
    )
    k: int = Field(20, ge=1, description="Hits of a page; the server's limit is in GET /v1/index.")
    page: int = Field(1, ge=1, le=engine.RANK_LIMIT)
    recall: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="1: exact and certified; below: that share of true hits is enough; none: as the index is."
    )
    exclude_own: bool = Field(True, description="Faces that are asked with by id are no hits.")
    exclude_identity: bool = Field(False, description="Nor are other pictures of the same persons.")
    most_per_identity: int = Field(0, ge=0, description="Hits of one person at most; 0: any number.")
    rerank: int = Field(
        0,
        ge=0,
        description="So many of the first hits are put in the order of all that a network sees of a face, where the "
        "space `reranks`; the server's limit is in GET /v1/index. Never certified.",
    )
    labels: list[Name] | None = Field(None, description="Which label columns hits are told with; none: all.")
    explain: bool = Field(False, description="Whether to tell what was done, shard by shard.")
    partial: bool = Field(False, description="Where shards are down, an answer of the others is welcome.")

    @property
    def condition(self) -> Filter | None:
        """Raises:
        WrongUsage: ``where`` is no filter.
        """
        if not self.where:
            return None
        return parse_condition(self.where) if isinstance(self.where, str) else condition_from_json(self.where)

    def to_engine(self, face: engine.Face | None, like: tuple[engine.Like, ...]) -> engine.SearchQuery:
        """Raises:
        WrongUsage: a combination that cannot be meant, or a filter that is none.
        """
        return engine.SearchQuery(
            face=face,
            space=self.space,
            weight=self.weight,
            adjust=self.adjust,
            move=self.move,
            prefer=self.prefer,
            like=like,
            where=self.condition,
            k=self.k,
            page=self.page,
            recall=self.recall,
            exclude_own=self.exclude_own,
            exclude_identity=self.exclude_identity,
            most_per_identity=self.most_per_identity,
            rerank=self.rerank,
        )


class EditQuestion(Question):
    """A face with other attributes."""

    face: FaceOf
    edits: dict[Name, Strength] = Field({}, description="By how much attributes change, in the method's own unit.")
    adjust: dict[Name, Share] = Field({}, description="Before that: what they are to be, as in a search.")
    move: dict[Name, Displacement] = Field({}, description="Before that: how far they are to go, as in a search.")
    method: Name = Field("", description=METHOD)
    format: PictureFormat = "png"

    @property
    def change(self) -> Change:
        return Change(
            edits=tuple(Edit(name, strength) for name, strength in self.edits.items()),
            adjust=self.adjust,
            move=self.move,
        )


class TransferQuestion(Question):
    """A face with features of others."""

    face: FaceOf
    references: dict[Name, FaceOf] = Field(min_length=1, description="Whose, by feature.")
    strengths: dict[Name, Strength] = Field(
        {}, description="How much of it: 1 is the reference's, 0 the face's own; the method's usual where not named."
    )
    method: Name = Field("", description=METHOD)
    format: PictureFormat = "png"


class TranslateQuestion(Question):
    """A face as a member of a domain, in the style that the label alone gives, of a reference, or drawn by a seed."""

    face: FaceOf = Field(description="Not by its codes, where the method works on pictures (`needs`).")
    domain: Name = Field(description="What it is to become; GET /v1/methods tells what there is.")
    reference: FaceOf | None = Field(None, description="Whose style it is to have.")
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Draws the style, where the method `samples_styles`; the same seed, the same."
    )
    method: Name = Field("", description=METHOD)
    format: PictureFormat = "png"

    @model_validator(mode="after")
    def _is_of_one_style(self) -> TranslateQuestion:
        if self.reference is not None and self.seed is not None:
            raise ValueError("give a reference or a seed, or neither: a style comes from one of them")
        return self


class EncodeQuestion(Question):
    """The codes of a face."""

    face: FaceOf


class Activation(Question):
    """Another version of the index."""

    version: int | None = Field(None, ge=1, description="None: the newest.")


class Addition(Question):
    """More faces."""

    codes: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$",
        description="The name of an encoded dataset in the server's folder of codes; no path.",
    )


class Removal(Question):
    """Faces that are no hits from now on."""

    ids: list[str] = Field(min_length=1)


def read_codes(told: Mapping[str, list[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Nested lists as float32 arrays.

    Raises:
        WrongUsage: something else than finite numbers in lists of equal lengths.
    """
    return {name: _array(name, values) for name, values in told.items()}


def _array(name: str, values: list[Any]) -> npt.NDArray[Any]:
    try:
        array = np.array(values)
    except ValueError as error:
        raise WrongUsage(f"codes: {name!r} has lists of different lengths") from error
    if array.dtype.kind not in "fi" or not array.size or array.ndim > CODE_AXES:
        raise WrongUsage(f"codes: {name!r} must be numbers in lists of at most {CODE_AXES} levels")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise WrongUsage(f"codes: {name!r} has a number that is not finite in 32 bits")
    return numbers
