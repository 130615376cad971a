"""A question and its answer in words, for the screen and for the sheet."""

from __future__ import annotations

from raypipe.pipeline.search.conditions import as_text
from raypipe.pipeline.search.result import AskedAim, FoundFace, SearchResult, face_in_words
from raypipe.retrieval.answer import Part


def question_in_words(result: SearchResult) -> str:
    """What was asked, in a line."""
    query, aims = result.query, result.aims
    told = [" + ".join(_aim_in_words(aim, len(aims) > 1) for aim in aims)]
    told += [f"{name} adjusted to {amount:g}" for name, amount in query.adjust.items()]
    told += [
        f"{name} moved by {amount:+g}" + (f", to {result.wanted[name]:.2f}" if name in result.wanted else "")
        for name, amount in query.move.items()
    ]
    told += [
        f"{name} preferred {weight:g} times" if weight else f"{name} does not matter"
        for name, weight in query.prefer.items()
    ]
    if query.where is not None:
        told.append(f"where {as_text(query.where)}")
    if query.exclude_identity:
        told.append("other persons only")
    if query.most_per_identity:
        told.append(f"at most {query.most_per_identity} of a person")
    return "; ".join(told)


def answer_in_words(result: SearchResult) -> str:
    """How sure it is and what it took, in a line."""
    sure = "exact" if result.exact else f"not certified: {_why_not(result)}"
    scanned = sum(explanation.scanned for explanation in result.explanations)
    shards = len(result.explanations)
    told = [
        sure,
        f"plan: {' and '.join(result.plans) or 'none'}" + (f" on {shards:,} shards" if shards > 1 else ""),
        f"{result.rows:,} rows match",
        f"{scanned:,} bounds looked at" if scanned else "",
        f"{result.compared:,} compared in full",
        f"{result.search_ms:,.1f} ms",
    ]
    return ", ".join(part for part in told if part)


def split_of(part: Part, attributes: tuple[str, ...]) -> tuple[dict[str, float], float, float]:
    """A part's distance along some attributes, along all others together, and the rest."""
    shown = {name: part.attributes[name] for name in attributes if name in part.attributes}
    others = sum(along for name, along in part.attributes.items() if name not in shown)
    return shown, others, part.rest


def attributes_shown(result: SearchResult) -> tuple[str, ...]:
    """The attributes whose part of the distance is told apart: those that matter and that the space tells apart."""
    return tuple(result.wanted)


def largest_parts(hit: FoundFace, most: int) -> dict[str, float]:
    """Where most of a hit's distance comes from, largest first: attributes and rests, times their aims' weights."""
    told: dict[str, float] = {}
    for part in hit.parts:
        before = f"{part.space.split('.', 1)[1]}: " if len(hit.parts) > 1 else ""
        for name, along in {**part.attributes, "rest": part.rest}.items():
            told[before + name] = told.get(before + name, 0.0) + part.weight * along
    return dict(sorted(told.items(), key=lambda item: -item[1])[:most])


def number(value: float) -> str:
    """Four digits, as a person reads distances: 0.001234, 12.34, 1,234; what is hardly anything is 0."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else "0"


def label_text(value: object) -> str:
    """A label as it is shown: nothing where there is none."""
    if isinstance(value, float):
        return number(value)
    return "" if value is None else str(value)


def _why_not(result: SearchResult) -> str:
    if result.query.rerank:
        return f"the first {result.query.rerank:,} by what is stored, in the order of whole vectors"
    return f"recall {result.recall:g} was asked"


def _aim_in_words(aim: AskedAim, is_one_of_many: bool) -> str:
    weight = f"{aim.weight:g} x " if is_one_of_many and aim.weight != 1.0 else ""
    return f"{weight}{aim.space} like {face_in_words(aim.face)}"
