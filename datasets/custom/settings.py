"""What can be set of datasets and benchmarks: `[data.NAME]`, and one's own in tables of theirs."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ta3n.common.sampling import Reading
from ta3n.common.settings import Section
from ta3n.datasets.reading.folders import in_words
from ta3n.datasets.reading.frame_files import expression_of

OWN_NAME = r"^[a-z0-9][a-z0-9_.-]*$"
"""Names of own datasets and benchmarks: they name folders, and are found in any case."""

_RULES = "train and val lists, val_ratio, val_pattern, or lists with a column split"


def _listed(value: Any) -> Any:
    """Return one text or path as a list of it."""
    return [value] if isinstance(value, str | Path) else value


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return value


def _frame_pattern(value: str) -> str:
    if value:
        expression_of(value)
    return value


FramePattern = Annotated[str, AfterValidator(_frame_pattern)]
Files = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
Word = Annotated[str, AfterValidator(in_words)]
Expression = Annotated[str, AfterValidator(_expression)]


class DataSettings(Section):
    """Where one dataset's class folders lie, and its official split files; None looks beside.

    Attributes:
        train: Of a dataset that is known by published lists: one's own copies of those to train
            on, where they are not in the folder `splits` with their published names; `val`
            likewise.
        frames: Of a dataset that is known by published lists, as in `DatasetSettings`; so are
            `frame_rate`, `first_frame` and `stop_frame`.
    """

    root: Path | None = None
    splits: Path | None = None
    train: Files = ()
    val: Files = ()
    frames: FramePattern = ""
    frame_rate: float | None = Field(default=None, gt=0, le=10_000)
    first_frame: Literal[0, 1] | None = None
    stop_frame: Literal["included", "excluded"] | None = None

    @property
    def for_lists(self) -> dict[str, Any]:
        """What is set that is for datasets known by lists alone."""
        values = self.model_dump(exclude={"root", "splits"}, exclude_unset=True)
        return {name: value for name, value in values.items() if value not in (None, (), "")}

    @model_validator(mode="after")
    def _both_parts(self) -> Self:
        if bool(self.train) != bool(self.val):
            raise ValueError("train and val lists come together; give both")
        return self


class DatasetSettings(Section):
    """One dataset of one's own: a folder of class folders, or lists that name clips and classes.

    Attributes:
        root: Folder of the class folders, or what the paths in the lists are relative to.
        short_name: Another name for `--source`, `--target` and `--dataset`.
        clips: Lists of all clips, with a column `split` or beside a rule.
        train: Lists of the clips to train on; `val` of those to validate on.
        classes: Names of the classes by label, where the lists have numbers.
        val_ratio: Share of every class to validate on, on average; `seed` decides which clips.
        groups: Regular expression that finds in a file name (without suffix) what the clip was
            cut from; clips of one group are never on both sides of a ratio.
        val_pattern: Regular expression for the file names to validate on.
        train_pattern: For those to train on; None takes all others.
        frames: Names of the frames of videos that are folders or archives of pictures, such as
            `frame_%010d.jpg`; without it they are found where all names are one and a number.
        frame_rate: Frames per second of such videos, where something asks for it.
        first_frame: Number of a video's first frame in lists with `start_frame`, 0 or 1.
        stop_frame: Whether `stop_frame` in lists is the last frame of a section (`included`) or the
            first one behind it (`excluded`).
    """

    root: Path | None = None
    short_name: str | None = Field(default=None, pattern=OWN_NAME)
    clips: Files = ()
    train: Files = ()
    val: Files = ()
    classes: tuple[Word, ...] = ()
    val_ratio: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    groups: Expression | None = None
    train_pattern: Expression | None = None
    val_pattern: Expression | None = None
    frames: FramePattern = ""
    frame_rate: float | None = Field(default=None, gt=0, le=10_000)
    first_frame: Literal[0, 1] | None = None
    stop_frame: Literal["included", "excluded"] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if bool(self.train) != bool(self.val):
            raise ValueError("train and val lists come together; give both")
        if self.train and self.clips:
            raise ValueError("clips lists all clips, train and val the two parts; give one of them")
        rules = [bool(self.train), self.val_ratio is not None, self.val_pattern is not None]
        if sum(rules) > 1:
            raise ValueError(f"several rules for the split; give one of {_RULES}")
        if not any(rules) and not self.clips:
            raise ValueError(f"no rule for the split; give one of {_RULES}")
        if self.train_pattern is not None and self.val_pattern is None:
            raise ValueError("train_pattern needs val_pattern beside it")
        if self.classes and not (self.train or self.clips):
            raise ValueError("classes name the labels of lists; class folders have names already")
        return self

    @property
    def reading(self) -> Reading:
        """What neither the clips nor their names tell of them."""
        return Reading(
            frames=self.frames,
            frame_rate=self.frame_rate,
            first_frame=self.first_frame,
            stop_frame=self.stop_frame,
        )


class BenchmarkSettings(Section):
    """One benchmark of one's own: two or more datasets with classes in common.

    Attributes:
        datasets: The datasets, where their classes have the same names.
        classes: Common class -> dataset -> its class folders, or just the names of the common
            classes where `datasets` is given. The order gives the labels.
        split: The split of the built-in datasets in it; own datasets have just one.
    """

    datasets: tuple[str, ...] = ()
    classes: dict[Word, dict[str, tuple[Word, ...]]]
    split: str = "1"

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        classes, datasets = value.get("classes"), value.get("datasets", ())
        if isinstance(classes, list | tuple):
            if not datasets:
                raise ValueError(
                    "classes is a list of names, so that datasets must list the datasets; or give "
                    "each class a table such as jump = { ucf101 = 'HighJump', mine = 'jump' }"
                )
            return value | {"classes": {str(n): dict.fromkeys(datasets, (n,)) for n in classes}}
        if isinstance(classes, dict):
            return value | {"classes": {n: _folders(f, datasets) for n, f in classes.items()}}
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.classes) < 2:
            raise ValueError(f"{len(self.classes)} common classes; there must be two or more")
        every = {dataset for folders in self.classes.values() for dataset in folders}
        for name, folders in self.classes.items():
            if lacking := sorted(every - {d for d, listed in folders.items() if listed}):
                raise ValueError(f"class {name!r} has no folder in {', '.join(lacking)}")
        if len(every) < 2:
            raise ValueError("a benchmark needs two datasets or more")
        return self


class DataSections(Section):
    """What the settings of every command hold, each by name; the latter two are one's own."""

    data: dict[str, DataSettings] = Field(default_factory=dict)
    datasets: dict[str, DatasetSettings] = Field(default_factory=dict)
    benchmarks: dict[str, BenchmarkSettings] = Field(default_factory=dict)


def _folders(value: Any, datasets: Any) -> Any:
    """Return dataset -> list of folders; one name alone is the folder of every dataset."""
    if isinstance(value, str):
        return {dataset: [value] for dataset in datasets}
    if isinstance(value, dict):
        return {dataset: _listed(folders) for dataset, folders in value.items()}
    return value
