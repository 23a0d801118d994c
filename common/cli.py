"""What every command shares: exit codes, signals, the settings options."""

import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import click

from ta3n.common.errors import EXIT_ENVIRONMENT, InterruptedRunError, Ta3nError
from ta3n.common.log import set_up_logging
from ta3n.common.names import printable

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


def handles_errors(command: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Turn our errors into one line and an exit code; a signal ends with 75 and a hint.

    Args:
        command: Name of the command, which starts the line.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            set_up_logging(command)
            signal.signal(signal.SIGTERM, _raise_interrupted)
            try:
                function(*args, **kwargs)
            except Ta3nError as error:
                _end(command, str(error), error.exit_code)
            except KeyboardInterrupt:
                _end(command, _interrupted("Ctrl-C"), InterruptedRunError.exit_code)
            except BrokenPipeError:
                sys.stderr.close()
                sys.exit(EXIT_ENVIRONMENT)
            except OSError as error:
                what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
                _end(command, what, EXIT_ENVIRONMENT)

        return run

    return decorate


def settings_options(function: F) -> F:
    """Add `--config`, `--show-config` and `--version`."""
    function = click.version_option(package_name="ta3n")(function)
    function = click.option(
        "--show-config",
        is_flag=True,
        help="Print the settings in force, each with its origin, and stop.",
    )(function)
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Settings file; without it pipeline.toml in this folder, if there is one.",
    )(function)


def _raise_interrupted(number: int, _frame: FrameType | None) -> None:
    # Batch systems send it to several processes of a job at once, so that it may come twice: the
    # second one must not end the saving that the first one begins.
    signal.signal(number, signal.SIG_IGN)
    raise InterruptedRunError(_interrupted(signal.Signals(number).name))


def _interrupted(by: str) -> str:
    return f"interrupted by {by}; what is done is kept, the same command line goes on from there"


def _end(command: str, message: str, code: int) -> None:
    one_line = printable(" ".join(message.split()))
    click.echo(
        f"{command}: {'' if code == InterruptedRunError.exit_code else 'error: '}{one_line}",
        err=True,
    )
    sys.exit(code)
