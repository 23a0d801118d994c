"""What every command shares: exit codes, signals, options that are settings."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial, wraps
from os import fspath
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_args, get_origin

import click

from ta3n.common.device import interruption_behind, raise_when_asked_to_stop
from ta3n.common.errors import (
    EXIT_ENVIRONMENT,
    EXIT_INTERRUPTED,
    DataMissingError,
    Ta3nError,
    lack_of_the_machine,
    printable,
)
from ta3n.common.files import expand_home
from ta3n.common.log import LOGGER, set_up_logging, set_up_streams

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


def handles_errors(command: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Turn our errors into one line and an exit code; a signal ends with 75 and a hint.

    The command gets `--quiet` and `--verbose`. Paths that begin with `~` are given to it as paths
    in the home folder.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @_option_of_log("--verbose", "-v", help="Log reasons as well.")
        @_option_of_log("--quiet", "-q", help="Log warnings and errors alone, no progress.")
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            set_up_streams()
            set_up_logging(command, _level(kwargs))
            for name, value in kwargs.items():
                kwargs[name] = _at_home(value)
            raise_when_asked_to_stop()
            try:
                _check_folder()
                function(*args, **kwargs)
            except BaseException as error:
                _tell(command, error)
                raise

        return run

    return decorate


def _tell(command: str, error: BaseException) -> None:
    """End with one line and an exit code; return from what is to be seen with its traceback."""
    if (interruption := interruption_behind(error)) is not None:
        _end(command, str(interruption), EXIT_INTERRUPTED)
    if isinstance(error, Ta3nError):
        _log_causes(error)
        _end(command, str(error), error.exit_code)
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        sys.exit(EXIT_ENVIRONMENT)
    if (what := lack_of_the_machine(error)) is not None:
        _end(command, what, EXIT_ENVIRONMENT)


_option_of_log = partial(click.option, is_flag=True)


def _level(options: dict[str, Any]) -> int:
    """Take `--quiet` and `--verbose` out of the options; return the least level that is logged."""
    quiet, verbose = options.pop("quiet"), options.pop("verbose")
    return logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO


def _log_causes(error: BaseException) -> None:
    cause = error.__cause__
    while cause is not None:
        LOGGER.debug("because of %s: %s", type(cause).__name__, " ".join(str(cause).split()))
        cause = cause.__cause__


def _at_home(value: Any) -> Any:
    """Return a path that was given, or several, with the home folder in the place of `~`."""
    if isinstance(value, tuple):
        return tuple(map(_at_home, value))
    return expand_home(value) if isinstance(value, Path) else value


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; without it pipeline.toml in this folder, if there is one.",
)


def settings_options(function: F) -> F:
    """Add `--config`, `--show-config` and `--version`."""
    function = click.version_option(package_name="ta3n")(function)
    function = click.option(
        "--show-config",
        is_flag=True,
        help="Print the settings in force, each with its origin, and stop.",
    )(function)
    return config_option(function)


class SettingsCommand(click.Command):
    """A command with an option for every setting of a section, each None where it is not given.

    Args:
        section: `module:Class`, imported when options are asked for: pydantic takes longer than
            the rest of a command.
        after: Name of the option that they follow in the help.
    """

    def __init__(self, *args: Any, section: str, after: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._section, self._after = section, after

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return all options, in the order of the help."""
        if self._section:
            fields = resolve_name(self._section).model_fields
            place = [option.name for option in self.params].index(self._after) + 1
            self.params[place:place] = [_option(name, field) for name, field in fields.items()]
            self._section = ""
        return super().get_params(ctx)


def _option(name: str, field: FieldInfo) -> click.Option:
    extra: Mapping[str, Any] = field.json_schema_extra  # type: ignore[assignment]
    flag = f"--{name.replace('_', '-')}"
    kind: Any = field.annotation
    if NoneType in get_args(kind):
        (kind,) = set(get_args(kind)) - {NoneType}
    if kind is bool:
        flags = f"{flag}/--no-{flag[2:]}" if field.default else flag
        return click.Option([flags, name], is_flag=True, default=None, help=field.description)
    choices = extra["choices"]
    if get_origin(kind) is Literal and not extra["metavar"]:
        choices = get_args(kind)
    return click.Option(
        [*(extra["names"] or (flag,)), name],
        type=click.Choice(choices) if choices else kind if kind in (int, float) else str,
        metavar=extra["metavar"],
        multiple=extra["multiple"],
        help=field.description,
        shell_complete=completes(extra["complete"]) if extra["complete"] else None,
    )


def completes(names: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes names in a shell, each also after `,` or `+`.

    Args:
        names: `module:callable` that returns them, imported when the shell asks. A settings file
            with a mistake completes nothing: the command says what is wrong, a shell must not.
    """

    def complete(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
        start = max(typed.rfind(","), typed.rfind("+")) + 1
        try:
            known = tuple(resolve_name(names)())
        except Ta3nError:
            return []
        return [typed[:start] + name for name in known if name.startswith(typed[start:])]

    return complete


complete_dataset = completes("ta3n.datasets.catalogue:names_of_datasets")
complete_benchmark = completes("ta3n.datasets.catalogue:names_of_benchmarks")


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead, for scripts."
)


def say(line: str) -> None:
    """Print a line of results. Names may come from anyone: none of them steers the terminal."""
    click.echo(printable(line))


def say_json(found: Any) -> None:
    """Print what a script is to read, paths as text; all of it is ASCII, whatever the locale."""
    click.echo(json.dumps(found, indent=2, default=fspath))


def _check_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise DataMissingError(
            "the current folder is not there any more: it was removed or replaced; cd to another"
        ) from error


def _end(command: str, message: str, code: int) -> None:
    one_line = printable(" ".join(message.split()))
    click.echo(
        f"{command}: {'' if code == EXIT_INTERRUPTED else 'error: '}{one_line}",
        err=True,
    )
    sys.exit(code)
