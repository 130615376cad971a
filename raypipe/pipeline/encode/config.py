"""What an encode job does. Everything here decides the values in the output; where it runs does not."""

from __future__ import annotations

from dataclasses import dataclass, field

from raypipe import catalog
from raypipe.backbones.psp.refine import RefineConfig
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_decoder import FaceConfig
from raypipe.pipeline.loading import ENCODER
from raypipe.weights import Bundle

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Names of columns in a Parquet source; empty means: found by the usual names.

    Landmarks are lists of x0, y0, x1, y1, ... in pixels of the upright picture: 5 points, or dlib's 68.
    """

    id_column: str = ""
    image_column: str = ""
    uri_column: str = ""
    landmarks_column: str = ""


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """How bytes are read. ``span_bytes``: neighbouring members of one archive are read in one request up to this.

    What the listing says is larger than ``max_bytes`` is not fetched: status ``too_large``.
    """

    threads: int = 16
    timeout_s: float = 60.0
    retries: int = 3
    retry_delay_s: float = 0.5
    span_bytes: int = 8 * 2**20
    max_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        if min(self.threads, self.span_bytes, self.max_bytes) < 1 or self.timeout_s <= 0 or self.retries < 0:
            raise WrongUsage(f"fetch settings must be positive, got {self}")


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """One encode job.

    ``commit_rows`` is the unit of work and of restart: that many images become one part file, at once or not at
    all (0: as many as make 32 MiB of pixels, at most 512). ``batch_size`` 0 means: found within memory.
    ``refine.steps`` over 0 moves every code by gradient descent on the generator's picture (slow).
    ``face.align`` ``auto`` becomes ``celeba`` for the CelebA layout with pictures of its shape, ``center`` otherwise.
    """

    source: str
    out: str
    model: str = "small"
    methods: tuple[str, ...] = ()
    limit: int = 0
    commit_rows: int = 0
    batch_size: int = 0
    precision: str = "auto"
    decode_timeout_s: float = 30.0
    face: FaceConfig = field(default_factory=FaceConfig)
    fetch: FetchConfig = field(default_factory=FetchConfig)
    columns: SourceConfig = field(default_factory=SourceConfig)
    refine: RefineConfig = field(default_factory=lambda: RefineConfig(steps=0))

    def parts_of(self, bundle: Bundle) -> tuple[str, ...]:
        """What the job takes of a model: its encoder, where it has one, and what the methods work with."""
        of_methods = [part for name in self.methods for part in catalog.method_module(name).PARTS]
        to_refine = [ENCODER, "generator"] if self.refine.steps else []
        return tuple(dict.fromkeys([*({ENCODER} & set(bundle.parts)), *to_refine, *of_methods]))

    def __post_init__(self) -> None:
        if not self.source or not self.out:
            raise WrongUsage(f"source and out must not be empty, got {self.source!r} and {self.out!r}")
        if self.limit < 0 or self.commit_rows < 0 or self.batch_size < 0:
            raise WrongUsage(
                f"limit, commit_rows and batch_size are counts of at least 0, "
                f"got {self.limit}, {self.commit_rows}, {self.batch_size}"
            )
        if self.precision not in PRECISIONS:
            raise WrongUsage(f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        if self.decode_timeout_s <= 0:
            raise WrongUsage(f"decode_timeout_s must be over 0, got {self.decode_timeout_s}")


def commit_rows_for(image_size: int, asked: int) -> int:
    """Images a part file holds: as asked, or 32 MiB of pixels, at least 32 and at most 512."""
    return asked or max(32, min(512, (32 << 20) // (3 * image_size * image_size)))
