"""What can be set: one frozen, validated object. `settings_file` fills it in."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ta3n.common.errors import UsageError
from ta3n.common.sampling import FrameSelection


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
        weights: `imagenet1k_v1`, a file, or `random:SEED` (for tests only).
        frames: `all`, or `segments:K` for just the frames that training will use.
        benchmark: Only the classes of this benchmark.
        classes: Only these class folders.
        limit: Only the first clips, for a trial.
        allow_missing: Go on where a class of the benchmark is not on disk.
        device: `auto`, `cpu` or `cuda:N`.
        batch_size: Frames in one forward pass.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        max_failures: Clips, or percent of them, that may fail before the job ends with 3.
    """

    out: Path = Path("features")
    backbone: str = "resnet101"
    weights: str = "imagenet1k_v1"
    frames: str = "all"
    benchmark: str | None = None
    classes: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    allow_missing: bool = False
    device: str = "auto"
    batch_size: int = Field(default=32, ge=1, le=4096)
    decode_threads: int | None = Field(default=None, ge=1, le=256)
    max_failures: str = Field(default="100%", pattern=r"^\d+%?$")

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
        method: Preset of adaptation method.
        temporal: Temporal module.
        recipe: Which defects are reproduced: `official` follows the authors' program.
        seeds: A count (`5` is 0 to 4) or a list (`0,3,7`, `2-4`).
        epochs: Passes over the training videos; None takes the recipe's.
        segments: K, frames a video.
        batch_size: Source videos in a step; None takes the recipe's.
        learning_rate: Before decay; None takes the recipe's.
        beta_relation: Reversal coefficient of the relation discriminators; a negative one means
            the DANN ramp, None takes the recipe's for this direction.
        beta_video: The same for the video discriminator.
        beta_frame: The same for the frame discriminator.
        gamma: Weight of the attentive entropy; None takes the recipe's for this direction.
        allow_missing: Train on the clips at hand where some are missing.
        device: `auto`, `cpu` or `cuda:N`.
    """

    features: Path = Path("features")
    out: Path = Path("runs")
    benchmark: str | None = None
    method: Literal["source-only", "target-only", "revgrad", "ta2n", "ta3n"] = "ta3n"
    temporal: Literal["pooling", "relation"] = "relation"
    recipe: Literal["official"] = "official"
    seeds: str = Field(default="1", pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*,?$")
    epochs: int | None = Field(default=None, ge=1)
    segments: int = Field(default=5, ge=2, le=25)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    beta_relation: float | None = None
    beta_video: float | None = None
    beta_frame: float | None = None
    gamma: float | None = Field(default=None, ge=0)
    allow_missing: bool = False
    device: str = "auto"

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Settings(_Section):
    """Everything that can be set.

    Attributes:
        data: Where each dataset lies, by its full name.
        extract: Stage one.
        train: Stage two.
    """

    data: dict[str, DataSettings] = Field(default_factory=dict)
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
