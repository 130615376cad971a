"""Pictures of any source -> what a method is evaluated on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from raypipe import storage
from raypipe.backbones.identity import load_identity
from raypipe.backbones.psp import load_encoder
from raypipe.contract import Faces
from raypipe.errors import BadWeights, WrongUsage
from raypipe.faces import to_signed
from raypipe.pipeline.encode.dataset import MANIFEST
from raypipe.pipeline.encode.listing import open_listing
from raypipe.pipeline.evaluate.config import EvaluateConfig
from raypipe.pipeline.evaluate.split import split_sets
from raypipe.pipeline.loading import ENCODER, picture_size_of
from raypipe.pipeline.train.batches import in_pieces
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.image_reader import LISTING
from raypipe.pipeline.train.labels import IDENTITY
from raypipe.pipeline.train.made_up_reader import MADE_UP
from raypipe.pipeline.train.order import Rows
from raypipe.pipeline.train.readers import Arrays, Reader, list_data, open_reader
from raypipe.weights import Bundle

BATCH = 64

Watch = Callable[[int, int], None]
"""(faces done, faces in all)."""


def gather_faces(
    config: EvaluateConfig,
    needs: Sequence[str],
    bundles: Mapping[str, Bundle],
    *,
    device: torch.device,
    watch: Watch,
) -> Faces:
    """Read, encode and embed.

    Args:
        needs: the columns that the method asks for, see ``contract.Faces``.
        bundles: part -> the model that has it.

    Raises:
        WrongUsage: no such data, or without what is needed.
        BadWeights: no model has a network that is needed.
    """
    networks = _networks(needs, bundles, device)
    taken = picture_size_of({name: bundle.parts[name].config for name, bundle in bundles.items()})
    size = max(config.data.size, taken)
    with tempfile.TemporaryDirectory() as state:
        reader = _open(replace(config.data, size=size), needs, state)
        try:
            sets = split_sets(reader.facts.rows, reader.identities, config.sets, limit=config.limit, seed=config.seed)
            return _read_sets(reader, sets, needs, networks, device, watch)
        finally:
            reader.close()


Networks = Mapping[str, Callable[[Tensor], Tensor]]
"""Column -> what computes it from pictures [n,3,s,s] in [-1,1]."""


def _networks(needs: Sequence[str], bundles: Mapping[str, Bundle], device: torch.device) -> Networks:
    networks: dict[str, Callable[[Tensor], Tensor]] = {}
    if "w_plus" in needs:
        if ENCODER not in bundles:
            raise BadWeights("no model with an encoder was given; give one with --model")
        networks["w_plus"] = load_encoder(bundles[ENCODER].read(ENCODER), device)
    if "embedding" in needs:
        if "identity" not in bundles:
            raise BadWeights(
                "identity similarity needs an identity network, and no model that was given has one: add a model "
                "with --model, one trained by `raypipe train identity` or imported by `raypipe weights import` "
                "(model_ir_se50.pth, MobileFaceNet, FaceNet)"
            )
        networks["embedding"] = load_identity(bundles["identity"].read("identity"), device).embed
    return networks


def _open(data: DataConfig, needs: Sequence[str], state: str) -> Reader:
    """A reader of pictures and labels, and of persons where they are needed or known."""
    if data.uri != MADE_UP and storage.exists(storage.join(data.uri, MANIFEST)):
        raise WrongUsage(
            f"{data.uri!r} is an encoded dataset, and an evaluation looks at pictures: give the images that it was "
            "made from"
        )
    list_data(data, state)
    listing = open_listing(storage.join(state, LISTING))
    is_known = listing is None or IDENTITY in listing.labels  # made-up faces have no listing, and persons
    columns = ["image", "labels"] + ([IDENTITY] if is_known or IDENTITY in needs else [])
    return open_reader(data, columns, state)


def _read_sets(
    reader: Reader, sets: Sequence[Rows], needs: Sequence[str], networks: Networks, device: torch.device, watch: Watch
) -> Faces:
    total = sum(len(rows) for rows in sets)
    columns: list[dict[str, Tensor]] = []
    done = 0
    for rows in sets:
        pieces = []
        for arrays in in_pieces(reader, rows):
            pieces.append(_columns(arrays, needs, networks, device))
            done += len(arrays["image"])
            watch(done, total)
        columns.append({name: torch.cat([piece[name] for piece in pieces]) for name in needs})
    train, validation, test = columns
    return Faces(attributes=reader.facts.attributes, train=train, validation=validation, test=test)


@torch.no_grad()
def _columns(arrays: Arrays, needs: Sequence[str], networks: Networks, device: torch.device) -> dict[str, Tensor]:
    pixels = torch.from_numpy(arrays["image"])
    columns = {"image": pixels, "labels": torch.from_numpy(arrays["labels"]).float()}
    if IDENTITY in arrays:
        columns[IDENTITY] = torch.from_numpy(arrays[IDENTITY])
    batches = [to_signed(batch.to(device)) for batch in torch.split(pixels, BATCH)] if networks else []
    for name, network in networks.items():
        columns[name] = torch.cat([network(images).float().cpu() for images in batches])
    return {name: columns[name] for name in needs}
