"""The settings in force: command line over `pipeline.toml` over defaults, each with its origin."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.names import did_you_mean
from ta3n.common.own_data import BenchmarkSettings, DatasetSettings
from ta3n.common.settings import DataSettings, Settings

DEFAULT_FILE = Path("pipeline.toml")

_BY_NAME: tuple[type[BaseModel], ...] = (DataSettings, DatasetSettings, BenchmarkSettings)
"""Sections of which there is one for each name."""

_PATHS = {
    "data": {"root", "splits"},
    "datasets": {"root", "clips", "train", "val"},
    "extract": {"out"},
    "train": {"features", "out"},
}
"""Keys whose values are paths, by the first part of the section's name."""

Origin = str
"""Where a value came from: `default`, the file's name, or `command line`."""


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
            unset = "not set: it follows from the rest" if value is None else "default"
            origin = self.origins.get(".".join(key), unset)
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


def _read_file(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no settings file {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    _refuse_unknown(tree, Settings, (), path)
    _make_relative_to(path.parent, tree)
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
        if section in _BY_NAME:
            for name, entry in value.items():
                _require_table(entry, section, f"{dotted}.{name}", path)
                _refuse_unknown(entry, section, (*prefix, key, name), path)
        elif section is not None:
            _refuse_unknown(value, section, (*prefix, key), path)


def _require_table(entry: Any, section: type[BaseModel], dotted: str, path: Path) -> None:
    if not isinstance(entry, dict):
        keys = ", ".join(section.model_fields)
        raise ConfigError(f"{path}: '{dotted}' must be a table of {keys}, [{dotted}]")


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for section in _BY_NAME:
        if annotation == dict[str, section]:  # type: ignore[valid-type]
            return section
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _make_relative_to(folder: Path, tree: Mapping[str, Any]) -> None:
    """Let the paths in a settings file be relative to its folder."""
    for (section, *heads, last), value in _leaves(tree, ()):
        if last not in _PATHS.get(section, ()):
            continue
        node = tree[section]
        for head in heads:
            node = node[head]
        if isinstance(value, str):
            node[last] = str(folder / Path(value).expanduser())
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            node[last] = [str(folder / Path(item).expanduser()) for item in value]


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
        # A table as a whole has no origin of its own: any of its keys has it.
        inside = (origins[k] for k in origins if k.startswith(f"{key}."))
        origin = origins.get(key) or next(inside, "default")
        value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        message = f"{key}{value} ({origin}): {first['msg'].removeprefix('Value error, ')}"
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
