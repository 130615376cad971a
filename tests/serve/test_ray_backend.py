"""What the backend on Ray answers, and what it says where processes die, queues are full or versions change."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError

from raypipe.attributes import Edit
from raypipe.errors import WrongUsage
from raypipe.pipeline.search.query import FromIndex, FromPixels, Like, SearchQuery
from raypipe.pipeline.search.result import SearchResult
from raypipe.pipeline.search.searcher import Searcher
from raypipe.pipeline.search.wishes import wish_of
from raypipe.retrieval.filters import OneOf
from serve import drawing, work
from serve.backend import Change, Transfer, Translation
from serve.deployments import Decider, Encoder, ShardGroup
from serve.errors import Overloaded, Replaced, Unavailable
from serve.groups import Share
from serve.ray_backend import RayBackend
from serve.settings import Batching, ServeSettings
from tests.pipeline.search.small_collection import FACES, W_PLUS, SmallCollection
from tests.serve.called_cluster import Cluster
from tests.serve.featured import METHOD, Featured
from tests.serve.more_codes import IDS, MORE, make_more_codes
from tests.serve.translated import METHOD as TRANSLATING
from tests.serve.translated import UNJUDGED

IMPATIENT = {"shard_s": 2.0, "partial_s": 2.0}
"""For who does not answer at all; all others have to within that, on a busy machine."""

EVERYBODY = SearchQuery(face=FromIndex("face-01"), exclude_own=False, k=FACES + MORE)


@pytest.fixture
def cluster(collection: SmallCollection) -> Cluster:
    return Cluster(collection.index, collection.model)


@pytest.fixture
def own(collection: SmallCollection, tmp_path: Path) -> Cluster:
    """Over a copy of the index, to be changed."""
    shutil.copytree(collection.index, tmp_path / "index")
    return Cluster(tmp_path / "index", collection.model)


def told(result: SearchResult) -> dict[str, Any]:
    """All but how long it took, and in which order the shards were asked."""
    shards = sorted((e.shard, e.plan, e.rows, e.compared, e.certified) for e in result.explanations)
    plain = dataclasses.replace(result, ask_ms=0.0, search_ms=0.0, explanations=())
    return {**vars(plain), "shards": shards}


@pytest.mark.parametrize(
    "query",
    [
        SearchQuery(face=FromIndex("face-03"), k=7, page=2),
        SearchQuery(face=FromIndex("face-03"), adjust={"Smiling": 1.0}, prefer={"Smiling": 50.0, "Eyeglasses": 0.0}),
        SearchQuery(face=FromIndex("face-03"), like=(Like(W_PLUS, FromIndex("face-08"), 0.5),), most_per_identity=1),
        SearchQuery(face=FromIndex("face-03"), where=OneOf("hair", ("black",)), exclude_identity=True),
    ],
)
def test_answers_are_the_engine_s(cluster: Cluster, searcher: Searcher, query: SearchQuery) -> None:
    found = cluster.run(lambda backend: backend.search(query, partial=False))
    assert told(found.value) == told(searcher.search(query))
    assert found.value.exact


def test_a_picture_asks_what_the_engine_asks_with_it(cluster: Cluster, searcher: Searcher) -> None:
    pixels = searcher.collection.pictures([searcher.place("face-05")])[0]
    assert not isinstance(pixels, str)
    query = SearchQuery(face=FromPixels(pixels, "mine.png"), like=(Like(W_PLUS, FromIndex("face-02")),))
    found = cluster.run(lambda backend: backend.search(query, partial=False)).value
    assert told(found) == told(searcher.search(query))


def test_hits_are_reranked_as_by_the_engine(featured: Featured, featured_searcher: Searcher) -> None:
    """With an id, and a picture that somebody encodes; by whoever has the networks, in another process."""
    pixels = featured_searcher.collection.pictures([featured_searcher.place("face-08")])[0]
    assert not isinstance(pixels, str)
    query = SearchQuery(
        face=FromIndex("face-05"),
        space="hair",
        like=(Like("eyes", FromPixels(pixels), 2.0), Like(W_PLUS, FromIndex("face-02"))),
        where=OneOf("hair", ("black", "brown")),
        k=6,
        page=2,
        rerank=20,
    )
    cluster = Cluster(featured.index, featured.model)
    found = cluster.run(lambda backend: backend.search(query, partial=False)).value
    expected = featured_searcher.search(query)
    assert [hit.id for hit in found.hits] == [hit.id for hit in expected.hits]
    assert [hit.distance for hit in found.hits] == pytest.approx([hit.distance for hit in expected.hits], abs=1e-5)
    assert (found.exact, found.more, found.query) == (False, expected.more, query)
    assert found.hits != featured_searcher.search(dataclasses.replace(query, rerank=0)).hits


def test_pictures_and_codes_are_the_engine_s(cluster: Cluster, searcher: Searcher) -> None:
    face, change = FromIndex("face-05"), Change(edits=(Edit("Smiling", 2.0),), adjust={"Eyeglasses": 1.0})
    edited = cluster.run(lambda backend: backend.edit(face, change, "sparse_directions")).value
    assert (edited == drawing.edit(searcher, face, change, "sparse_directions")).all()


def test_features_of_others_are_the_engine_s(featured: Featured, featured_searcher: Searcher) -> None:
    """An id, and a picture that somebody encodes."""
    pixels = featured_searcher.collection.pictures([featured_searcher.place("face-08")])[0]
    assert not isinstance(pixels, str)
    face, references = FromIndex("face-05"), {"hair": FromIndex("face-02"), "pose": FromPixels(pixels)}
    wanted = Transfer(references=references, strengths={"hair": 1.3, "pose": 0.7})
    cluster = Cluster(featured.index, featured.model)
    made = cluster.run(lambda backend: backend.transfer(face, wanted, METHOD)).value
    assert (made == drawing.transfer(featured_searcher, face, wanted, METHOD)).all()


@UNJUDGED
def test_faces_become_what_the_engine_makes_of_them(translating: Featured, translating_searcher: Searcher) -> None:
    """An id, and pictures that somebody encodes."""
    places = [translating_searcher.place(id) for id in ("face-05", "face-08")]
    mine, hers = (FromPixels(pixels) for pixels in translating_searcher.collection.pictures(places))
    cluster = Cluster(translating.index, translating.model)

    async def ask(backend: RayBackend) -> list[Any]:
        by_label = await backend.translate(FromIndex("face-05"), Translation(domain="Smiling, Male"), TRANSLATING)
        like = Translation(domain="not Smiling, Male", reference=hers)
        return [by_label.value, (await backend.translate(mine, like, TRANSLATING)).value]

    made = cluster.run(ask)
    wanted = (
        Translation(domain="Smiling, Male"),
        Translation(domain="not Smiling, Male", reference=FromIndex("face-08")),
    )
    for pixels, translation in zip(made, wanted, strict=True):
        face = FromIndex("face-05")
        assert (pixels == drawing.translate(translating_searcher, face, translation, TRANSLATING)).all()


def test_codes_are_the_engine_s(cluster: Cluster, searcher: Searcher) -> None:
    pixels = searcher.collection.pictures([searcher.place("face-05")])[0]
    assert not isinstance(pixels, str)
    encoded = cluster.run(lambda backend: backend.encode(FromPixels(pixels))).value
    expected = work.encode(searcher, FromPixels(pixels))
    assert encoded.intensities == expected.intensities
    assert {name: codes.tolist() for name, codes in encoded.codes.items()} == {
        name: codes.tolist() for name, codes in expected.codes.items()
    }


def test_who_died_over_a_question_does_not_lose_it(cluster: Cluster, searcher: Searcher) -> None:
    cluster.groups[1].answer.failures = [RayActorError(), RayActorError()]
    found = cluster.run(lambda backend: backend.search(EVERYBODY, partial=False))
    assert told(found.value) == told(searcher.search(EVERYBODY))


def test_without_a_group_there_is_no_answer_or_a_partial_one(collection: SmallCollection, searcher: Searcher) -> None:
    cluster = Cluster(collection.index, collection.model, **IMPATIENT)
    cluster.groups[1].answer.hangs = True

    async def ask(backend: RayBackend) -> SearchResult:
        with pytest.raises(Unavailable, match="shard group 1"):
            await backend.search(EVERYBODY, partial=False)
        return (await backend.search(EVERYBODY, partial=True)).value

    partial, whole = cluster.run(ask), searcher.search(EVERYBODY)
    assert 0 < partial.covered < 1
    assert len(partial.hits) == round(partial.covered * FACES)
    assert (partial.exact, whole.exact) == (False, True)
    assert {hit.id for hit in partial.hits} < {hit.id for hit in whole.hits}


def test_without_any_group_there_is_no_partial_answer(collection: SmallCollection) -> None:
    cluster = Cluster(collection.index, collection.model, **IMPATIENT)
    for group in cluster.groups:
        group.answer.hangs = True
    with pytest.raises(Unavailable, match="shard group"):
        cluster.run(lambda backend: backend.search(EVERYBODY, partial=True))


def test_a_full_queue_is_an_overload(cluster: Cluster) -> None:
    cluster.groups[0].answer.failures = [BackPressureError(num_queued_requests=9, max_queued_requests=9)]
    with pytest.raises(Overloaded, match="shard group 0"):
        cluster.run(lambda backend: backend.search(EVERYBODY, partial=True))


def test_what_a_process_raised_is_told_without_its_trace(cluster: Cluster) -> None:
    """Also where it had that from another process."""
    inner = RayTaskError("index", "Traceback: /secret.py", WrongUsage("no such thing")).as_instanceof_cause()
    cluster.decider.activate.failures = [RayTaskError("activate", "Traceback: ...", inner).as_instanceof_cause()]
    with pytest.raises(WrongUsage, match=r"^no such thing$"):
        cluster.run(lambda backend: backend.activate(3))


def test_it_is_ready_when_everybody_is(collection: SmallCollection) -> None:
    cluster = Cluster(collection.index, collection.model, **IMPATIENT)

    async def ask(backend: RayBackend) -> list[bool]:
        cluster.encoder.is_loaded.hangs = True
        before = await backend.ready()
        cluster.encoder.is_loaded.hangs = False
        return [before, await backend.ready()]

    assert cluster.run(ask) == [False, True]


def test_without_a_coordinator_nothing_is_answered(collection: SmallCollection) -> None:
    cluster = Cluster(collection.index, collection.model, lease_wait_s=1.0)

    async def ask(backend: RayBackend) -> None:
        await backend.search(EVERYBODY, partial=False)
        cluster.decider.version.hangs = True
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable, match="nobody can tell"):
            await backend.search(EVERYBODY, partial=False)

    cluster.run(ask)


def test_an_answer_that_a_deletion_overtakes_is_made_anew(own: Cluster) -> None:
    """It began before the deletion and would end after it."""
    held = asyncio.Event()
    answer = own.groups[0].answer._call

    async def late(*question: Any) -> Any:
        found = await answer(*question)
        await held.wait()
        return found

    own.groups[0].answer._call = late

    async def ask(backend: RayBackend) -> tuple[int, set[str]]:
        asking = asyncio.create_task(backend.search(EVERYBODY, partial=False))
        await asyncio.sleep(0.1)
        assert await backend.delete(["face-07"]) == 2
        held.set()
        found = await asking
        return found.index_version, {hit.id for hit in found.value.hits}

    version, ids = own.run(ask)
    assert version == 2
    assert "face-07" not in ids
    assert len(ids) == FACES - 1


def test_versions_are_kept_apart_and_what_was_chosen_stays(
    own: Cluster, collection: SmallCollection, tmp_path: Path
) -> None:
    make_more_codes(tmp_path / "new", collection.model)
    answers: list[tuple[int, set[str]]] = []

    async def keep_asking(backend: RayBackend) -> None:
        while True:
            found = await backend.search(EVERYBODY, partial=False)
            answers.append((found.index_version, {hit.id for hit in found.value.hits}))

    async def ask(backend: RayBackend) -> None:
        asking = asyncio.create_task(keep_asking(backend))
        assert await backend.append(str(tmp_path / "new")) == 2
        for version in (1, 2, 1):
            assert await backend.activate(version) == version
            found = await backend.search(EVERYBODY, partial=False)
            assert found.index_version == version
        asking.cancel()
        with pytest.raises(WrongUsage, match="no version 9"):
            await backend.activate(9)

    own.run(ask)
    everybody = max((ids for _, ids in answers), key=len)
    assert len(everybody) == FACES + MORE
    expected = {1: everybody - IDS, 2: everybody}
    assert all(ids == expected[version] for version, ids in answers)
    assert {version for version, _ in answers} == {1, 2}
    assert Cluster(tmp_path / "index", collection.model).coordinator.version == 1


def test_a_group_answers_for_the_share_that_is_meant(collection: SmallCollection, searcher: Searcher) -> None:
    """While the number of groups is changed, ingresses of both configurations ask it."""
    group, index = ShardGroup(str(collection.index), 1, 2, 1), str(collection.index)
    prepared, wish = searcher.prepare(EVERYBODY), wish_of(EVERYBODY, searcher.index)
    bindings = {aim.space: searcher.model.binding(aim.space) for aim in prepared.targets}

    def rows(number: int, count: int) -> int:
        share = Share(index, 1, number, count)
        answer = asyncio.run(group.answer(share, prepared.targets, wish, bindings))
        return sum(explanation.rows for explanation in answer.explanations)

    assert rows(0, 1) == FACES
    assert rows(0, 2) + rows(1, 2) == FACES
    assert 0 < rows(1, 2) < FACES


def test_another_model_s_codes_are_never_given(collection: SmallCollection, searcher: Searcher) -> None:
    """While a model replaces another, encoders of both are asked."""
    encoder = Encoder(str(collection.model), Batching(), 1)
    pixels = searcher.collection.pictures([searcher.place("face-05")])[0]
    with pytest.raises(Replaced):
        asyncio.run(encoder.encode(pixels, "another"))


def test_whoever_decides_about_one_index_says_nothing_about_another(collection: SmallCollection) -> None:
    """While an index replaces another, their versions may have the same numbers."""
    decider = Decider(ServeSettings(index=str(collection.index)), [])
    assert asyncio.run(decider.version(str(collection.index), "me", 0)) == 1
    with pytest.raises(Replaced):
        asyncio.run(decider.version("elsewhere", "me", 0))


def test_who_is_of_another_configuration_is_not_the_one_to_ask(cluster: Cluster, searcher: Searcher) -> None:
    cluster.groups[1].answer.failures = [RayTaskError("answer", "Traceback: ...", Replaced("another")) for _ in "ab"]
    found = cluster.run(lambda backend: backend.search(EVERYBODY, partial=False))
    assert told(found.value) == told(searcher.search(EVERYBODY))
