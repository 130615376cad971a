"""``raypipe search``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Annotated

import typer

from raypipe import storage
from raypipe.cli.console import say
from raypipe.cli.search_table import print_result
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_decoder import FaceConfig
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.search.conditions import parse_condition
from raypipe.pipeline.search.names import check_columns, space_named
from raypipe.pipeline.search.query import IDENTITY, Face, FromIndex, Like, SearchQuery
from raypipe.pipeline.search.result import as_json
from raypipe.pipeline.search.result_sheet import result_sheet
from raypipe.pipeline.search.searcher import Searcher, open_searcher
from raypipe.retrieval.filters import columns_of

ID_MARK = "id:"


def search_command(
    index: Annotated[str, typer.Argument(help="What raypipe index build made.")],
    image: Annotated[str, typer.Option(help="Search for faces like the one in this picture.")] = "",
    image_id: Annotated[str, typer.Option("--id", help="Search for faces like this one of the index.")] = "",
    queries: Annotated[str, typer.Option(help="A file of ids, one a line: answer all, a line of JSON each.")] = "",
    space: Annotated[
        str, typer.Option(help="METHOD.SPACE, or SPACE where that is clear; empty: the first of the index.")
    ] = "",
    method: Annotated[str, typer.Option(help="The method of the space, where several have one of that name.")] = "",
    adjust: Annotated[
        list[str] | None,
        typer.Option(help="ATTRIBUTE=AMOUNT: what it is to be, from 0, the least of all faces, to 1, the most."),
    ] = None,
    move: Annotated[
        list[str] | None, typer.Option(help="ATTRIBUTE=DISTANCE: how far it is to go along its direction.")
    ] = None,
    prefer: Annotated[
        list[str] | None, typer.Option(help="ATTRIBUTE=WEIGHT: what it matters, from 0, not at all, to 1000; else 1.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="SPACE=FILE or SPACE=id:ID, with *WEIGHT: be like that face in this space, too."),
    ] = None,
    weight: Annotated[float, typer.Option(help="Of the face itself beside those of --like.")] = 1.0,
    where: Annotated[
        str, typer.Option(help="Labels of hits: 'Male=0 and (age>=30 or not hair in (black, brown))'.")
    ] = "",
    k: Annotated[int, typer.Option("-k", help="Hits a page.")] = 20,
    page: Annotated[int, typer.Option(help="Which page, from 1.")] = 1,
    recall: Annotated[
        str, typer.Option(help="exact, or the share of true hits that is enough, as 0.9; empty: as the index is.")
    ] = "",
    exclude_own: Annotated[
        bool, typer.Option("--exclude-id/--include-id", help="Whether a face that is asked with by id is no hit.")
    ] = True,
    exclude_identity: Annotated[
        bool, typer.Option("--exclude-identity", help="Nor are other pictures of the same person.")
    ] = False,
    most_per_identity: Annotated[int, typer.Option(help="Hits of one person at most; 0: any number.")] = 0,
    rerank: Annotated[
        int, typer.Option(help="So many of the first hits in the order of whole vectors, where less is stored; slower.")
    ] = 0,
    show: Annotated[str, typer.Option(help="Label columns to show, with commas; 'all' shows all.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Where distances come from, and what was done.")] = False,
    as_json_text: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
    out: Annotated[str, typer.Option(help="A picture of the answer: FILE.png.")] = "",
    model: Annotated[str, typer.Option(help="The model whose codes were indexed.")] = "small",
    codes: Annotated[
        list[str] | None, typer.Option(help="Where the encoded dataset is now, if it was moved; several times.")
    ] = None,
    align: Annotated[
        str, typer.Option(help="How faces are cut out of pictures: none, center, celeba, ffhq; empty: as in the codes.")
    ] = "",
) -> None:
    """Find faces like one, but with what is to be different and what matters; exact unless asked otherwise."""
    if out and not out.endswith(".png"):
        raise WrongUsage(f"--out {out!r} must end in .png")
    if sum(map(bool, (image, image_id, queries))) > 1:
        raise WrongUsage("--image, --id and --queries: only one of them can be asked")
    if queries and (out or explain):
        raise WrongUsage("--queries answers with lines of JSON: --out and --explain are for one question")
    searcher = open_searcher(index, model, codes=codes or (), device=pick_device(False), threads=_threads())
    cut = FaceConfig(align=align) if align else None
    query = SearchQuery(
        face=_face(searcher, image, image_id, cut) or (FromIndex("") if queries else None),
        space=space_named(space, searcher.index.manifest, method),
        weight=weight,
        adjust=_numbers("--adjust", adjust),
        move=_numbers("--move", move),
        prefer=_numbers("--prefer", prefer),
        like=tuple(_like(searcher, text, cut) for text in like or ()),
        where=parse_condition(where) if where else None,
        k=k,
        page=page,
        recall=_recall(recall),
        exclude_own=exclude_own,
        exclude_identity=exclude_identity,
        most_per_identity=most_per_identity,
        rerank=rerank,
    )
    if queries:
        _answer_all(searcher, query, queries)
    else:
        _answer_one(searcher, query, show=show, explain=explain, as_text=not as_json_text, out=out)


def _answer_one(searcher: Searcher, query: SearchQuery, *, show: str, explain: bool, as_text: bool, out: str) -> None:
    result = searcher.search(query)
    labels = _labels_shown(searcher, query, show)
    if as_text:
        print_result(result, labels, explain=explain)
    else:
        typer.echo(json.dumps(as_json(result, labels=labels if show else None, explain=explain), indent=2))
    if out:
        storage.write_bytes(out, result_sheet(searcher, result, labels))
        say(f"{out}: the question and {len(result.hits):,} hits")


def _answer_all(searcher: Searcher, query: SearchQuery, file: str) -> None:
    """A line of JSON for each id, in the file's order."""
    ids = [line.strip() for line in _read(file).decode().splitlines() if line.strip()]
    for result in searcher.search_all([dataclasses.replace(query, face=FromIndex(name)) for name in ids]):
        typer.echo(json.dumps(as_json(result)))


def _face(searcher: Searcher, image: str, image_id: str, cut: FaceConfig | None) -> Face | None:
    if image_id:
        return FromIndex(image_id)
    return _face_of_file(searcher, image, cut) if image else None


def _face_of_file(searcher: Searcher, file: str, cut: FaceConfig | None) -> Face:
    content = _read(file)
    try:
        return searcher.cut_out(content, cut, file.rsplit("/", 1)[-1])
    except WrongUsage as error:
        raise WrongUsage(f"{file!r}: {error}") from error


def _like(searcher: Searcher, text: str, cut: FaceConfig | None) -> Like:
    space, separator, face = text.partition("=")
    if not (space and separator and face):
        raise WrongUsage(f"--like {text!r} is not of the form SPACE=FILE or SPACE=id:ID, with *WEIGHT if wanted")
    face, weight = _weighted(face)
    found = FromIndex(face[len(ID_MARK) :]) if face.startswith(ID_MARK) else _face_of_file(searcher, face, cut)
    return Like(space, found, weight)


def _weighted(text: str) -> tuple[str, float]:
    """``FACE*WEIGHT``; a name with an asterisk that no number follows is a name."""
    face, separator, number = text.rpartition("*")
    try:
        return (face, float(number)) if separator else (text, 1.0)
    except ValueError:
        return text, 1.0


def _numbers(option: str, texts: Sequence[str] | None) -> dict[str, float]:
    told: dict[str, float] = {}
    for text in texts or ():
        name, separator, number = text.partition("=")
        try:
            if not (name and separator) or name in told:
                raise ValueError
            told[name] = float(number)
        except ValueError as error:
            raise WrongUsage(f"{option} {text!r} must be ATTRIBUTE=NUMBER, and each attribute only once") from error
    return told


def _recall(text: str) -> float | None:
    try:
        return None if not text else 1.0 if text == "exact" else float(text)
    except ValueError as error:
        raise WrongUsage(f"--recall {text!r} must be 'exact' or a number above 0 and at most 1") from error


def _labels_shown(searcher: Searcher, query: SearchQuery, asked: str) -> list[str]:
    """As asked; else those that decide which faces may be hits."""
    there = searcher.label_names
    if asked == "all":
        return list(there)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    check_columns(names, there)
    about = sorted(columns_of(query.where)) if query.where else []
    if query.exclude_identity or query.most_per_identity:
        about.append(IDENTITY)
    return names or [name for name in dict.fromkeys(about) if name in there]


def _read(file: str) -> bytes:
    try:
        return storage.read_bytes(file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"no file at {file!r}") from error


def _threads() -> int:
    return os.cpu_count() or 1
