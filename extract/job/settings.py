"""What can be set of stage one: `[extract]`, and the options of `ta3n-extract`."""

import re
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from ta3n.common.errors import UsageError
from ta3n.common.sampling import FrameSelection, Timing, WindowPad
from ta3n.common.settings import Section, setting
from ta3n.datasets.custom.settings import DataSections, Word


class ExtractSettings(Section):
    """Stage one. None follows from the rest: from the backbone, the device, or the CPUs allowed."""

    out: Path = setting("features", "Features go to DIR/<dataset>, or DIR/videos.", metavar="DIR")
    backbone: str = setting(
        "resnet101",
        "resnet101 (default), any of torchvision, timm:NAME, video:NAME, python:MODULE:FACTORY.",
        metavar="NAME",
        complete="ta3n.extract.backbones:BACKBONES.keys",
    )
    weights: str | None = setting(
        None, "imagenet1k_v1 (default), FILE, or random:SEED.", metavar="W"
    )
    profile: Literal["ta3n", "fast", "torchvision", "timm", "own"] | None = setting(
        None,
        "ta3n (default); fast: 16-bit floats where faster; torchvision, timm, own.",
        metavar="P",
    )
    frames: str = setting(
        "all", "all (default); segments:K, every:N or fps:F keep only those.", metavar="F"
    )
    window: int | None = setting(
        None, "Of clips: a row is of T frames around its own.", metavar="T", ge=1, le=512
    )
    window_step: int | None = setting(
        None, "Only every S frames of a clip are in it (1).", metavar="S", ge=1, le=64
    )
    window_pad: WindowPad | None = setting(
        None, "Beyond the ends: repeat (default) the last frame, or zero.", metavar="PAD"
    )
    timing: Timing = setting("frames", "frames (default), or cfr: at a constant rate.", metavar="T")
    benchmark: str | None = setting(
        None,
        "Only the classes of this benchmark, or all.",
        metavar="NAME",
        complete="ta3n.datasets.catalogue:names_of_benchmarks",
    )
    classes: tuple[Word, ...] = setting((), "Only these class folders.", metavar="A,B")
    limit: int | None = setting(None, "Only N clips, spread over the dataset.", metavar="N", ge=1)
    allow_missing: bool = setting(False, "Go on if a class is not on disk.")
    device: str = setting(
        "auto", "auto (default), cpu, cuda:N, or several: cuda:0,cuda:1.", metavar="D"
    )
    batch_size: int | None = setting(
        None, "Frames, or windows, in one forward pass.", metavar="B", ge=1, le=4096
    )
    compile: Literal["auto", "on", "off"] = setting(
        "auto", "auto (default), on or off: compile the network.", metavar="C"
    )
    decode_threads: int | None = setting(
        None, "Clips decoded side by side.", metavar="N", ge=1, le=256
    )
    decode_memory: int | None = setting(
        None, "Decoded frames that wait for the network, MB.", metavar="MB", ge=4, le=10**6
    )
    clip_timeout: float = setting(
        60.0, "Give a clip up after S idle seconds.", metavar="S", gt=0, le=86400
    )
    supervise: bool = setting(
        True, "Decode in processes that clips may crash or hang (default); --no-supervise: in this."
    )
    max_failures: str = setting("100%", "End with 3 if more clips fail.", metavar="N|P%")

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


class ExtractSections(DataSections):
    """All that `ta3n-extract` reads of a settings file."""

    extract: ExtractSettings = ExtractSettings()
