"""One frozen, validated settings object: command line over `pipeline.toml` over defaults."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.names import did_you_mean
from ta3n.common.sampling import FrameSelection

DEFAULT_FILE = Path("pipeline.toml")

Origin = str
"""Where a value came from: `default`, the file's name, or `command line`."""


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


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings in force and where each value came from.

    Attributes:
        settings: The validated settings.
        origins: Origin of every value that is not a default, by dotted key.
    """

    settings: Settings
    origins: Mapping[str, Origin]

    def describe(self, sections: tuple[str, ...]) -> str:
        """Return the sections as TOML, each value with its origin in a comment."""
        lines: list[str] = []
        section = ""
        for key, value in _leaves(self.settings.model_dump(mode="json"), ()):
            if key[0] not in sections:
                continue
            if (head := ".".join(key[:-1])) != section:
                section = head
                lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
            origin = self.origins.get(".".join(key), "default")
            lines.append(f"{_toml_line(key[-1], value):<44} # {origin}")
        return "\n".join(lines)


def load_settings(file: Path | None, overrides: Mapping[str, Any]) -> ResolvedSettings:
    """Resolve the settings in force.

    Args:
        file: A settings file that must exist; None takes `pipeline.toml` here, if there is one.
            Relative paths inside a file are relative to the file.
        overrides: Values from the command line by dotted key; None means not given.

    Returns:
        The settings with the origin of each value.

    Raises:
        ConfigError: If the file is unreadable, or holds an unknown key or a refused value.
        UsageError: If a value from the command line is refused.
    """
    tree: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    if file is not None or DEFAULT_FILE.is_file():
        path = file or DEFAULT_FILE
        tree = _read_file(path)
        origins = {".".join(key): str(path) for key, _ in _leaves(tree, ())}
    for dotted, value in overrides.items():
        if value is not None:
            *heads, last = dotted.split(".")
            node = tree
            for head in heads:
                node = node.setdefault(head, {})
            node[last] = value
            origins[dotted] = "command line"
    return ResolvedSettings(_validate(tree, origins), origins)


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


def _read_file(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no settings file {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    _refuse_unknown(tree, Settings, (), path)
    for dotted, _ in _path_fields(tree):
        *heads, last = dotted
        node = tree
        for head in heads:
            node = node[head]
        if isinstance(node[last], str):
            node[last] = str(path.parent / Path(node[last]).expanduser())
    return tree


def _refuse_unknown(
    tree: Mapping[str, Any], model: type[BaseModel], prefix: tuple[str, ...], path: Path
) -> None:
    for key, value in tree.items():
        field = model.model_fields.get(key)
        dotted = ".".join((*prefix, key))
        if field is None:
            hint = did_you_mean(key, model.model_fields)
            where = f"[{'.'.join(prefix)}]" if prefix else "the top level"
            raise ConfigError(
                f"{path}: unknown key '{dotted}'{hint}; known in {where}: "
                f"{', '.join(model.model_fields)}"
            )
        section = _section_of(field.annotation)
        if section is not None and not isinstance(value, dict):
            raise ConfigError(f"{path}: '{dotted}' must be a table, [{dotted}]")
        if section is DataSettings:
            for name, entry in value.items():
                _require_table(entry, f"{dotted}.{name}", path)
                _refuse_unknown(entry, section, (*prefix, key, name), path)
        elif section is not None:
            _refuse_unknown(value, section, (*prefix, key), path)


def _require_table(entry: Any, dotted: str, path: Path) -> None:
    if not isinstance(entry, dict):
        raise ConfigError(f"{path}: '{dotted}' must be a table with root and splits, [{dotted}]")


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if annotation == dict[str, DataSettings]:
        return DataSettings
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _path_fields(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    names = {"root", "splits", "out", "features"}
    return ((key, value) for key, value in _leaves(tree, ()) if key[-1] in names)


def _leaves(
    tree: Mapping[str, Any], prefix: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _validate(tree: Mapping[str, Any], origins: Mapping[str, Origin]) -> Settings:
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        origin = origins.get(key, "default")
        message = f"{key} = {first['input']!r} ({origin}): {first['msg']}"
        raise (UsageError if origin == "command line" else ConfigError)(message) from error


def _toml_line(key: str, value: Any) -> str:
    if value is None:
        return f"# {key} ="
    if isinstance(value, bool):
        return f"{key} = {str(value).lower()}"
    if isinstance(value, list):
        return f"{key} = [{', '.join(_quote(item) for item in value)}]"
    return f"{key} = {_quote(value) if isinstance(value, str) else value}"


def _quote(value: Any) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
