"""The settings in force: command line over `pipeline.toml` over defaults, each with its origin.

What can be set is declared where it is used: a command composes its sections from classes made of
`Section` and `setting`. A setting is declared once; `ta3n.common.cli` makes options of them.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ta3n.common.errors import ConfigError, UsageError, did_you_mean
from ta3n.common.files import decode_text, expand_home

DEFAULT_FILE = Path("pipeline.toml")

SECTIONS = ("data", "datasets", "benchmarks", "extract", "train")
"""Sections of a settings file. A command leaves those unread that are of other commands alone."""


_LARGEST = 10**9
"""Of whole numbers, which count things here; beyond, they do not fit what they are handed to."""


class Section(BaseModel):
    """A table of a settings file: values that do not change, and no others.

    Numbers are finite, and whole ones at most 10**9.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _is_a_count(cls, value: Any) -> Any:
        if isinstance(value, int) and value > _LARGEST:
            raise ValueError(f"too large; it is at most {_LARGEST}")
        return value

    @field_validator("*")
    @classmethod
    def _is_a_choice(cls, value: Any, info: ValidationInfo) -> Any:
        extra: Any = cls.model_fields[info.field_name or ""].json_schema_extra or {}
        choices = extra.get("choices", ())
        if choices and value is not None and value not in choices:
            hint = did_you_mean(str(value), choices)
            raise ValueError(f"not known{hint}; use one of {', '.join(choices)}")
        return value


S = TypeVar("S", bound=Section)


def setting(
    default: Any,
    about: str,
    *,
    metavar: str | None = None,
    names: Sequence[str] = (),
    choices: Sequence[str] = (),
    multiple: bool = False,
    complete: str = "",
    **limits: Any,
) -> Any:
    """Declare a setting that is an option of its command as well; `about` is the option's help.

    Args:
        names: The option's names, where they are not that of the setting with dashes.
        choices: The values that there are; a `Literal` without metavar has them by its type.
        complete: `module:callable` with the names that a shell completes.
        limits: Bounds such as `ge=1`, as `pydantic.Field` takes them.
    """
    option = {"metavar": metavar, "names": names, "choices": choices, "multiple": multiple}
    extra = option | {"complete": complete}
    return Field(default, description=about, json_schema_extra=extra, **limits)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ResolvedSettings(Generic[S]):
    """The settings in force and where each value came from.

    Attributes:
        origins: Of every value that is not a default, by dotted key: the file's name, or
            `command line`.
    """

    settings: S
    origins: Mapping[str, str]

    def describe(self) -> str:
        """Return the settings as TOML, each value with its origin in a comment."""
        lines: list[str] = []
        section = ""
        for key, value in _leaves(self.settings.model_dump(mode="json")):
            if (head := ".".join(key[:-1])) != section:
                section = head
                lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
            unset = "not set: it follows from the rest" if value is None else "default"
            origin = self.origins.get(".".join(key), unset)
            # Values here are texts, numbers and lists of them, which TOML writes as JSON does.
            text = json.dumps(value, ensure_ascii=False)
            line = f"# {key[-1]} =" if value is None else f"{key[-1]} = {text}"
            lines.append(f"{line:<44} # {origin}")
        return "\n".join(lines)


def load_settings(
    kind: type[S], file: Path | None, overrides: Mapping[str, Any]
) -> ResolvedSettings[S]:
    """Resolve the settings in force.

    Args:
        kind: The sections of the command, as fields.
        file: A settings file that must exist; None takes `pipeline.toml` here, if there is one.
            Relative paths inside a file are relative to the file.
        overrides: Values from the command line by dotted key; None, or () of an option that may be
            repeated, means not given.

    Raises:
        ConfigError: If the file is unreadable, or holds an unknown key or a refused value.
        UsageError: If a value from the command line is refused.
    """
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = file or DEFAULT_FILE
    if file is not None or path.is_file():
        tree = _read_file(path, kind)
        origins = {".".join(key): str(path) for key, _ in _leaves(tree)}
    for dotted, value in overrides.items():
        if value not in (None, ()):
            *heads, last = dotted.split(".")
            node = tree
            for head in heads:
                node = node.setdefault(head, {})
            node[last] = _at_home(value) if _is_path(kind, dotted.split(".")) else value
            origins[dotted] = "command line"
    try:
        return ResolvedSettings(kind.model_validate(tree), origins)
    except ValidationError as error:
        raise _refusal(error, kind, path, origins) from error


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file; `what` is a word for its content, for messages.

    Raises:
        ConfigError: If it is not there or unreadable.
    """
    try:
        text = decode_text(path.read_bytes())
        text.encode()  # TOML is UTF-8, other bytes are refused
        return tomllib.loads(text.replace("\r\n", "\n"))
    except FileNotFoundError as error:
        raise ConfigError(f"no {what} file {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        # Whole numbers of thousands of digits are a ValueError of Python's own.
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _read_file(path: Path, kind: type[Section]) -> dict[str, Any]:
    tree = read_toml(path, "settings")
    unread = set(SECTIONS) - set(kind.model_fields)
    tree = {key: value for key, value in tree.items() if key not in unread}
    for key, value in list(_leaves(tree)):
        if not _is_path(kind, key):
            continue
        table = reduce(getitem, key[:-1], tree)
        if isinstance(value, str):
            table[key[-1]] = str(path.parent / expand_home(Path(value)))
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            table[key[-1]] = [str(path.parent / expand_home(Path(item))) for item in value]
    return tree


def _is_path(kind: type[Section], key: Sequence[Any]) -> bool:
    declared = _declared(kind, key)
    return Path in (declared, *get_args(declared))


def _at_home(value: Any) -> Any:
    """Return one path of the command line, or several, with the home folder for `~`."""
    if isinstance(value, str | Path):
        return expand_home(Path(value))
    return tuple(map(_at_home, value)) if isinstance(value, list | tuple) else value


def _declared(kind: Any, key: Sequence[Any]) -> Any:
    """Return the type that a key is declared with, None where there is no such key."""
    for part in key:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(part)
            kind = field.annotation if field else None
        else:
            # Of a section of which there is one for each name: dict[str, section].
            kind = next(iter(get_args(kind)[1:]), None)
    return kind


def _leaves(
    tree: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    # The values of a table come before the tables in it, as TOML has them.
    for key, value in sorted(tree.items(), key=lambda item: isinstance(item[1], dict)):
        if isinstance(value, dict):
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _shown(value: object) -> str:
    """Return a value as it may stand in a settings file."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(str(value) if isinstance(value, Path) else value)


def _refusal(
    error: ValidationError, kind: type[Section], path: Path, origins: Mapping[str, str]
) -> UsageError:
    """Return what is wrong first: an unknown key, no table where there must be one, or a value."""
    kinds = {"extra_forbidden": 0, "model_type": 1, "dict_type": 1}
    first = min(error.errors(), key=lambda each: kinds.get(each["type"], 2))
    parts = [part for part in first["loc"] if not isinstance(part, int)]
    key = ".".join(parts)
    if first["type"] == "extra_forbidden":
        *section, name = parts
        known = list(_declared(kind, section).model_fields) if section else SECTIONS
        where = f"[{'.'.join(section)}]" if section else "the top level"
        return ConfigError(
            f"{path}: unknown key '{key}'{did_you_mean(name, known)}; known in {where}: "
            f"{', '.join(known)}"
        )
    if first["type"] in kinds:
        keys = getattr(_declared(kind, parts), "model_fields", ())
        of = f" of {', '.join(keys)}" if keys else ""
        return ConfigError(f"{path}: '{key}' must be a table{of}, [{key}]")
    # A table as a whole has no origin of its own: any of its keys has it.
    inside = (origins[k] for k in origins if k.startswith(f"{key}."))
    origin = origins.get(key) or next(inside, "default")
    value = "" if isinstance(first["input"], dict) else f" = {_shown(first['input'])}"
    message = f"{key}{value} ({origin}): {first['msg'].removeprefix('Value error, ')}"
    return (UsageError if origin == "command line" else ConfigError)(message)
