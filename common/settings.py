"""What can be set: one frozen, validated object. `settings_file` fills it in."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ta3n.common.errors import UsageError
from ta3n.common.own_data import BenchmarkSettings, DatasetSettings
from ta3n.common.sampling import FrameSelection, Timing

MethodName = Literal[
    "source-only", "target-only", "revgrad", "dan", "jan", "adabn", "mcd", "ta2n", "ta3n"
]
CompilePolicy = Literal["auto", "on", "off"]
StackPolicy = Literal["auto", "on", "off"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataSettings(_Section):
    """Where one dataset lies.

    Attributes:
        root: Folder of its class folders.
        splits: Folder of its official split files; None looks beside the data.
    """

    root: Path | None = None
    splits: Path | None = None


class ExtractSettings(_Section):
    """Stage one.

    Attributes:
        out: Folder for features; each dataset gets one of its own inside.
        backbone: Network whose features are written.
        weights: Name of published weights such as `imagenet1k_v1`, a file, or `random:SEED` (for
            tests only); None takes the backbone's.
        profile: How a frame becomes the network's input, and in which precision it runs: `ta3n`,
            `fast`, or the transform of the library that the backbone is of (`torchvision`,
            `timm`); None takes the backbone's.
        frames: `all`; `segments:K` for just the frames that training will use; `every:N`; `fps:F`.
        timing: Frames as decoded (`frames`), or repeated and dropped for a constant rate (`cfr`).
        benchmark: Only the classes of this benchmark; `all`, like None, takes every class.
        classes: Only these class folders.
        limit: Only the first clips, for a trial.
        allow_missing: Go on where a class of the benchmark is not on disk.
        device: `auto`, `cpu` or `cuda:N`; several with commas share the work.
        batch_size: Frames in one forward pass, of each core on a CPU; None takes 8 there, and
            tries on a GPU.
        compile: Whether the network is compiled; `auto` does so on a GPU for profile `fast`.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        clip_timeout: Seconds without progress after which a clip is given up.
        supervise: Work in a process of its own, which a clip that crashes or hangs cannot take
            the job down with.
        max_failures: Clips, or percent of them, that may fail before the job ends with 3.
    """

    out: Path = Path("features")
    backbone: str = "resnet101"
    weights: str | None = None
    profile: Literal["ta3n", "fast", "torchvision", "timm"] | None = None
    frames: str = "all"
    timing: Timing = "frames"
    benchmark: str | None = None
    classes: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    allow_missing: bool = False
    device: str = "auto"
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    compile: CompilePolicy = "auto"
    decode_threads: int | None = Field(default=None, ge=1, le=256)
    clip_timeout: float = Field(default=60.0, gt=0, le=86400)
    supervise: bool = True
    max_failures: str = "100%"

    @field_validator("max_failures")
    @classmethod
    def _count_or_percent(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9]+%?", value):
            raise ValueError("not a number of clips such as 10, or percent of them such as 5%")
        return value

    @field_validator("frames")
    @classmethod
    def _known_frames(cls, value: str) -> str:
        try:
            return str(FrameSelection.parse(value))
        except UsageError as error:
            raise ValueError(str(error)) from error


class TrainSettings(_Section):
    """Stage two.

    Attributes:
        features: Folder that stage one wrote.
        out: Folder for runs.
        benchmark: Which one; None takes the built-in benchmark of the two datasets.
        rows: Rows of the paper's tables, or what they lie under (`table3`); none runs `method`.
        method: Preset of adaptation method; None takes the row's, or `ta3n`. This and the switches
            that follow win over a row.
        temporal: Temporal module; None takes the row's, or `relation`.
        attention: Over the relations; None takes the method's, as for the next four.
        entropy: Entropy that is minimised.
        discriminators: Where they are placed: `none`, `all`, or levels such as `frame,video`.
        alignment: Discrepancy that is minimised.
        norm: Normalisation.
        recipe: `official` follows the authors' program, `paper` mends its known defects.
        seeds: A count (`5` is 0 to 4) or a list (`0,3,7`, `2-4`).
        epochs: Passes over the training videos; None takes the recipe's.
        segments: K, frames a video.
        batch_size: Source videos in a step; None takes the recipe's.
        learning_rate: Before decay; None takes the recipe's.
        beta_relation: Reversal coefficient of the relation discriminators; a negative one means
            the DANN ramp, None takes the recipe's for this direction.
        beta_video: The same for the video discriminator.
        beta_frame: The same for the frame discriminator.
        gamma: Weight of the entropy; None takes the recipe's for this direction.
        alpha: Weight of DAN's or JAN's discrepancy; a negative one means the DANN ramp.
        mu: How strongly MCD's discrepancy acts on the features; likewise.
        mmd_estimator: For DAN and JAN; None takes the recipe's.
        max_subsets: Most frame subsets of an n-frame relation; None takes the recipe's.
        allow_missing: Train on the clips at hand where some are missing.
        stack: Whether the seeds of a row are trained as one program; `auto` does so on a GPU,
            outside a job array.
        jobs: Processes that train rows and seeds side by side, on CPUs.
        tensorboard: Write the metrics of each run for TensorBoard too, an optional package.
        device: `auto`, `cpu` or `cuda:N`.
    """

    features: Path = Path("features")
    out: Path = Path("runs")
    benchmark: str | None = None
    rows: tuple[str, ...] = ()
    method: MethodName | None = None
    temporal: Literal["pooling", "relation"] | None = None
    attention: Literal["none", "domain", "conventional"] | None = None
    entropy: Literal["none", "attentive", "target"] | None = None
    discriminators: str | None = None
    alignment: Literal["none", "dan", "jan", "mcd"] | None = None
    norm: Literal["none", "adabn"] | None = None
    recipe: Literal["official", "paper"] = "official"
    seeds: str = "1"
    epochs: int | None = Field(default=None, ge=1)
    segments: int = Field(default=5, ge=2, le=25)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    beta_relation: float | None = None
    beta_video: float | None = None
    beta_frame: float | None = None
    gamma: float | None = Field(default=None, ge=0)
    alpha: float | None = None
    mu: float | None = None
    mmd_estimator: Literal["paired", "biased", "unbiased"] | None = None
    max_subsets: int | None = Field(default=None, ge=1)
    allow_missing: bool = False
    stack: StackPolicy = "auto"
    jobs: int = Field(default=1, ge=1, le=1024)
    tensorboard: bool = False
    device: str = "auto"

    @field_validator("rows", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            return value
        return tuple(part.strip() for name in names for part in name.split(",") if part.strip())

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("seeds")
    @classmethod
    def _readable_seeds(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*,?", value):
            raise ValueError("not a count such as 5 (seeds 0 to 4), or a list such as 0,3 or 2-4")
        return value


class Settings(_Section):
    """Everything that can be set.

    Attributes:
        data: Where each dataset lies, by its full name.
        datasets: Datasets of one's own, by name.
        benchmarks: Benchmarks of one's own, by name.
        extract: Stage one.
        train: Stage two.
    """

    data: dict[str, DataSettings] = Field(default_factory=dict)
    datasets: dict[str, DatasetSettings] = Field(default_factory=dict)
    benchmarks: dict[str, BenchmarkSettings] = Field(default_factory=dict)
    extract: ExtractSettings = ExtractSettings()
    train: TrainSettings = TrainSettings()


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds: a count (`5` is 0 to 4) or a list with ranges (`0,3`, `2-4`, `7,` for seed 7).

    Raises:
        UsageError: If a range runs backwards, a seed comes twice, or none is left.
    """
    if text.isdigit():
        seeds = list(range(int(text)))
    else:
        seeds = []
        for part in filter(None, text.split(",")):
            first, _, last = part.partition("-")
            seeds += range(int(first), int(last or first) + 1)
    if not seeds or len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds {text!r} name no seed, or one twice; use 5, 0,3,7 or 2-4")
    return tuple(seeds)
