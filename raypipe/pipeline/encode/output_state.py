"""What is at the output before a job begins there, found without writing anything."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe import storage
from raypipe.errors import RaypipeError
from raypipe.pipeline.encode.agreement import made_from, refuse_other_plan
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.dataset import PLAN, Dataset
from raypipe.pipeline.encode.lease import held_by
from raypipe.pipeline.encode.listing import open_listing
from raypipe.weights import Bundle


@dataclass(frozen=True, kw_only=True)
class OutputState:
    """What a job would find. ``refusal`` is why it would not begin; empty where it would.

    ``is_new``: there is no dataset, or it would be deleted (``--restart``). ``rows_done`` of ``parts_done`` finished
    parts would be neither fetched nor computed again.
    """

    is_new: bool
    is_complete: bool = False
    parts_done: int = 0
    rows_done: int = 0
    refusal: str = ""

    def in_words(self) -> str:
        if self.refusal:
            return f"the job would be refused: {self.refusal}"
        if self.is_new:
            return "the job would begin there"
        done = f"{self.parts_done:,} parts with {self.rows_done:,} rows are done"
        return f"{done}; {'nothing is left to do' if self.is_complete else 'the job would do the rest'}"


def look_at_output(config: EncodeConfig, bundle: Bundle, *, restart: bool) -> OutputState:
    """What a job would find at ``config.out``."""
    dataset = Dataset(config.out)
    try:
        if not storage.exists(storage.join(dataset.uri, *PLAN)):
            dataset.refuse_foreign_files()
        if holder := held_by(dataset.lease_uri):
            return OutputState(is_new=False, refusal=f"it is held by {holder}")
        plan = None if restart else dataset.read_json(*PLAN)
        listing = None if restart else open_listing(dataset.listing_uri)
        if plan is None or listing is None or not listing.rows:
            return OutputState(is_new=True)
        refuse_other_plan(plan, made_from(config, bundle), config.out)
    except RaypipeError as error:
        return OutputState(is_new=False, refusal=str(error))
    done = dataset.finished_chunks()
    return OutputState(
        is_new=False,
        is_complete=dataset.is_complete(),
        parts_done=len(done),
        rows_done=sum(map(listing.rows_in, done)),
    )
