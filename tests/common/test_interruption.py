"""If this breaks, a job that is told to stop loses what it had done, or does not stop."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner, Result

from ta3n.common.cli import handles_errors
from ta3n.common.device import (
    SIGNALS,
    interrupted_by,
    leaving_all_but_sigterm_here,
    leaving_interruption_here,
)
from ta3n.common.errors import EXIT_INTERRUPTED, UsageError

EVERY = pytest.mark.parametrize("number", sorted(SIGNALS), ids=lambda s: s.name)
BLOCKED = "import signal; print(*sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Begin as a command does, and leave the tests' own handlers."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def ending(does: Callable[[], None]) -> Result:
    """Return what becomes of a command that does something."""

    @click.command()
    @handles_errors("ta3n-cook")
    def command() -> None:
        does()

    return CliRunner().invoke(command, [])


@EVERY
@pytest.mark.parametrize("then", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_second_signal_does_not_end_what_the_first_one_has_saved(
    number: signal.Signals, then: signal.Signals
) -> None:
    saved = []

    def cook() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(then)
            saved.append("the soup")

    result = ending(cook)
    assert saved == ["the soup"]
    assert result.exit_code == EXIT_INTERRUPTED
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert result.stderr == (
        f"ta3n-cook: interrupted by {name}; what is done is kept, the same command line goes on "
        "from there\n"
    )


@pytest.mark.parametrize("number", sorted(SIGNALS - {signal.SIGTERM}), ids=lambda s: s.name)
def test_what_ignores_a_signal_goes_on_doing_so(number: signal.Signals) -> None:
    """As `nohup` and a shell's background have it."""
    signal.signal(number, signal.SIG_IGN)
    assert ending(lambda: signal.raise_signal(number)).exit_code == 0


def goes_on_after_errors() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Exception:  # noqa: BLE001  as libraries have it
        return


def blames_something_else() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as error:
        raise UsageError("the network does not run") from error


def leaves_a_lock_that_is_free() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        raise RuntimeError("cannot release un-acquired lock")


@pytest.mark.parametrize(
    "does", [goes_on_after_errors, blames_something_else, leaves_a_lock_that_is_free]
)
def test_no_error_hides_a_signal(does: Callable[[], None]) -> None:
    result = ending(does)
    assert result.exit_code == EXIT_INTERRUPTED
    assert result.stderr.startswith("ta3n-cook: interrupted by SIGTERM; ")


def test_an_interruption_reaches_another_process() -> None:
    """A worker's is told by its parent."""
    error = interrupted_by(signal.SIGTERM)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def blocked() -> set[int]:
    """Return the signals that a new process never sees."""
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    return set(map(int, done.stdout.split()))


def test_only_processes_started_in_it_do_not_see_signals() -> None:
    before = blocked()
    with leaving_interruption_here():
        assert blocked() - before == SIGNALS
    with leaving_all_but_sigterm_here():
        assert blocked() - before == SIGNALS - {signal.SIGTERM}
    assert blocked() == before
    assert not SIGNALS & signal.pthread_sigmask(signal.SIG_BLOCK, [])
