"""What can be set of stage two: `[train]`, and the options of `ta3n-train`. Needs no torch."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from ta3n.common.errors import UsageError
from ta3n.common.registry import load_plugins
from ta3n.common.settings import Section, setting
from ta3n.datasets.custom.settings import DataSections
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods.base import Group
from ta3n.train.methods.registry import METHODS, choices, find_choice
from ta3n.train.methods.run_settings import Domains
from ta3n.train.recipe.recipes import (
    RECIPES,
    FeatureScaling,
    Fusion,
    MmdEstimator,
    Optimizer,
    Sampling,
    Schedule,
)

StackPolicy = Literal["auto", "on", "off"]
LoadPolicy = Literal["auto", "memory", "mapped"]
RulesOn = Literal["train", "val"]


_METHODS = "ta3n.train.methods.registry:METHODS.all"
SWITCHES: tuple[Group, ...] = ("attention", "entropy", "alignment", "norm")
"""Settings that put a term in the place of the method's own of its group."""


ALL_METHODS = "all"
"""In the place of names of methods."""


def _names(group: Group) -> str:
    return "|".join(["none", *choices(group)])


@contextmanager
def _told_with_its_origin() -> Iterator[None]:
    """Let the loader of the settings say where a refused value came from."""
    try:
        yield
    except UsageError as error:
        raise ValueError(str(error)) from error


# Beyond, numbers do not fit torch's generators, and lists do not fit in memory.
_SEED_DIGITS = 18
_MOST_SEEDS = 10_000


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds: a count (`5` is 0 to 4) or a list with ranges (`0,3`, `2-4`, `7,` for seed 7).

    Raises:
        UsageError: If a range runs backwards, a seed comes twice, none is left, or too many are.
    """
    if any(len(number) > _SEED_DIGITS for number in re.findall("[0-9]+", text)):
        raise UsageError(f"seeds {text[:40]!r}: a seed has at most {_SEED_DIGITS} digits")
    if text.isdecimal():
        ranges = [range(int(text))]
    else:
        parts = [part.partition("-") for part in text.split(",") if part]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in parts]
    # A range may be longer than what `len` can tell.
    if sum(max(part.stop - part.start, 0) for part in ranges) > _MOST_SEEDS:
        raise UsageError(f"seeds {text!r} are more than {_MOST_SEEDS}")
    seeds = [seed for part in ranges for seed in part]
    if not seeds or len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds {text!r} name no seed, or one twice; use 5, 0,3,7 or 2-4")
    return tuple(seeds)


class TrainSettings(Section):
    """Stage two. None takes what the row, the method or the recipe has.

    A method that is named wins over a row, and a single switch over both.
    """

    features: tuple[Path, ...] = setting(
        ("features",),
        "What ta3n-extract wrote (default: features); repeat to join streams, as of RGB and flow.",
        metavar="DIR",
        multiple=True,
        min_length=1,
    )
    fusion: Fusion = setting(
        "concat",
        "Streams side by side in a feature (default), or late: an encoder each, logits summed.",
    )
    stream_loss: float = setting(
        0.0, "Weight of each stream's own loss, with late (default: 0).", metavar="X", ge=0
    )
    out: Path = setting("runs", "Folder for runs (default: runs).", metavar="DIR")
    benchmark: str | None = setting(
        None,
        "Default: the first one that holds the two datasets.",
        metavar="NAME",
        complete="ta3n.datasets.catalogue:names_of_benchmarks",
    )
    domains: Domains = setting(
        "one",
        "With several sources: one domain (default), or each its own to discriminators and "
        "discrepancies.",
    )
    target_classes: tuple[str, ...] = setting(
        (),
        "Partial: of the source's classes the target has these alone; repeat or separate by ','.",
        metavar="NAMES",
        multiple=True,
    )
    unknown: tuple[str, ...] = setting(
        (),
        "Open set: these of the target's are one unknown class, and the source has none of them; "
        "others: all that the benchmark does not use.",
        metavar="NAMES",
        multiple=True,
    )
    unknown_threshold: float | None = setting(
        None,
        "Entropy, of its highest, above which a video is told unknown (default: 0.5).",
        metavar="X",
        ge=0,
        le=1,
    )
    heads: str | None = setting(
        None, "Heads of the benchmark to train, such as verb; default: all.", metavar="NAMES"
    )
    rows: tuple[str, ...] = setting(
        (),
        "Rows such as table3/ta3n, or all under a name such as table4; repeat or separate by ','.",
        metavar="NAMES",
        names=("--row", "--rows"),
        multiple=True,
        complete="ta3n.train.paper.rows:ROWS.keys",
    )
    plugins: tuple[Path, ...] = setting(
        (),
        "A file or module that registers a method or a temporal module of one's own.",
        metavar="FILE",
        names=("--plugin",),
        multiple=True,
    )
    method: str | None = setting(
        None,
        "Default: the row's, or ta3n; see --list-methods. Several combine: coral+mcc.",
        metavar="NAME[+NAME]",
        complete=_METHODS,
    )
    methods: tuple[str, ...] = setting(
        (),
        "Several methods, each a row of its own: dan,coral+mcc, or all that have a source.",
        metavar="NAMES",
        multiple=True,
    )
    add: tuple[str, ...] = setting(
        (),
        "Add the terms of another method; repeat for more.",
        metavar="NAME",
        multiple=True,
        complete=_METHODS,
    )
    weight: dict[str, float] = setting(
        {},
        "A term's weight, see --list-methods; repeat for more.",
        metavar="NAME=VALUE",
        multiple=True,
    )
    init_from: Path | None = setting(
        None,
        "A finished run, or the folder of its seeds, whose weights to start from.",
        metavar="RUN",
    )
    source_free: bool = setting(
        False, "Adapt that run to the target alone, without any source file (default: shot)."
    )
    temporal: str | None = setting(
        None,
        "Default: the row's, or relation.",
        metavar="|".join(ENCODERS.all()),
        complete="ta3n.train.encoders.registry:ENCODERS.all",
    )
    attention: str | None = setting(
        None, "Over the relations; default: the method's.", metavar=_names("attention")
    )
    entropy: str | None = setting(
        None, "To minimise; default: the method's.", metavar=_names("entropy")
    )
    discriminators: str | None = setting(
        None,
        "none, all, or some of frame (G_sd), relation (G_rd), video (G_td): frame,video.",
        metavar="LEVELS",
    )
    alignment: str | None = setting(
        None, "Discrepancy; default: the method's.", metavar=_names("alignment")
    )
    norm: str | None = setting(None, "Default: the method's.", metavar=_names("norm"))
    recipe: str = setting(
        "official", "official (default), paper or epic100.", choices=tuple(RECIPES)
    )
    seeds: str = setting("1", "A count (5 is 0 to 4), or a list: 0,3 or 2-4.", metavar="N|LIST")
    epochs: int | None = setting(None, "Default: the recipe's 30.", metavar="N", ge=1, le=10**6)
    segments: int = setting(5, "Frames a video, 2 to 64 (default: 5).", metavar="K", ge=2, le=64)
    sampling: Sampling = setting(
        "centre",
        "The frame of each part: centre (default), or random anew each epoch, of all or every:N.",
    )
    feature_scale: FeatureScaling = setting(
        "none",
        "none (default), l2: each frame's feature to length 1, standard: each value by its mean "
        "and spread in the source's training videos.",
    )
    views: int = setting(
        1,
        "Sets of frames whose logits are averaged in evaluation (default: 1).",
        metavar="V",
        ge=1,
        le=100,
    )
    batch_size: int | None = setting(
        None, "Source videos a step (default: 128).", metavar="B", ge=1
    )
    learning_rate: float | None = setting(None, "Before decay (default: 0.03).", metavar="LR", gt=0)
    optimizer: Optimizer | None = setting(None, "Default: the recipe's, sgd.")
    schedule: Schedule | None = setting(None, "Of the rate; default: the recipe's, inverse.")
    momentum: float | None = setting(None, "Default: the recipe's 0.9.", metavar="X", ge=0)
    weight_decay: float | None = setting(None, "Default: the recipe's 1e-4.", metavar="X", ge=0)
    beta_relation: float | None = setting(None, "Reversal of G_rd; < 0: DANN ramp.", metavar="X")
    beta_video: float | None = setting(None, "The same for G_td.", metavar="X")
    beta_frame: float | None = setting(None, "The same for G_sd.", metavar="X")
    gamma: float | None = setting(None, "Weight of the entropy.", metavar="X", ge=0)
    alpha: float | None = setting(None, "Weight of DAN or JAN; < 0: DANN ramp.", metavar="X")
    mu: float | None = setting(None, "MCD's effect on features; < 0: DANN ramp.", metavar="X")
    mmd_estimator: MmdEstimator | None = setting(None, "Default: the recipe's.")
    max_subsets: int | None = setting(
        None, "Frame subsets a relation (default: 3).", metavar="N", ge=1
    )
    rules_on: RulesOn = setting(
        "train",
        "Target videos that label-free rules look at: training (default), or those tested.",
    )
    allow_missing: bool = setting(False, "Train on the clips at hand.")
    load: LoadPolicy = setting(
        "auto",
        "Features in memory, or mapped: each batch reads its frames; auto (default): what fits.",
    )
    stack: StackPolicy = setting(
        "auto",
        "Train the seeds of a row as one program; auto (default): on a GPU, without --shard.",
    )
    jobs: int = setting(1, "Processes on CPUs, one thread each.", metavar="N", ge=1, le=1024)
    tensorboard: bool = setting(False, "Write TensorBoard scalars too.")
    device: str = setting("auto", "auto (default), cpu or cuda:N.", metavar="D")

    @field_validator("features", "target_classes", "unknown", mode="before")
    @classmethod
    def _one_or_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        # What they register can be named in the settings after this one.
        with _told_with_its_origin():
            load_plugins(map(str, value))
        return value

    @field_validator("method", "methods", "add", "temporal", *SWITCHES)
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        names = (value,) if isinstance(value, str) else value or ()
        group = next((switch for switch in SWITCHES if switch == info.field_name), None)
        if info.field_name in ("method", "methods"):
            names = (
                ()
                if names == (ALL_METHODS,)
                else tuple(part for name in names for part in name.split("+"))
            )
        with _told_with_its_origin():
            for name in names:
                if group is None:
                    (ENCODERS if info.field_name == "temporal" else METHODS).find(name)
                elif name != "none":
                    find_choice(group, name)
        return value

    @field_validator("weight", mode="before")
    @classmethod
    def _names_with_underscores(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {str(name).replace("-", "_"): number for name, number in value.items()}

    @field_validator("add", "methods", "plugins", "rows", mode="before")
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
        with _told_with_its_origin():
            parse_seeds(value)
        return value


class TrainSections(DataSections):
    """All that `ta3n-train` reads of a settings file."""

    train: TrainSettings = TrainSettings()


WEIGHTS = ("beta_relation", "beta_video", "beta_frame", "gamma", "alpha", "mu")
"""Weights that are options by their own name."""


def weights_given(options: dict[str, Any]) -> dict[str, float | str]:
    """Take the weights out of the options of a command line, however they were written.

    Raises:
        UsageError: For what is not NAME=VALUE, and for a weight that is given twice.
    """
    given: dict[str, float | str] = {}
    for text in options.pop("weight"):
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise UsageError(f"--weight {text!r} is not NAME=VALUE, such as alpha=0.3")
        named = {name.strip().replace("-", "_"): value}
        _merge(given, named)
    _merge(given, {name: value for name in WEIGHTS if (value := options.pop(name)) is not None})
    return given


def _merge(given: dict[str, float | str], more: dict[str, float | str]) -> None:
    if twice := given.keys() & more.keys():
        raise UsageError(f"the weight {min(twice)} is given twice; leave one of them out")
    given |= more
