"""The one error tree, and names in messages: suggestions for mistyped ones, any name on one line.

Only the command line turns errors into exit codes. A message names what was wrong, its value, and
what to do about it, in one line.
"""

import errno
from collections.abc import Iterable
from difflib import get_close_matches

EXIT_ENVIRONMENT = 1
EXIT_INTERRUPTED = 75


class Ta3nError(Exception):
    """Anything that this software refuses or cannot do, told in one line."""

    exit_code = EXIT_ENVIRONMENT


class UsageError(Ta3nError):
    """An option or setting that makes no sense, alone or with another one."""

    exit_code = 2


class ConfigError(UsageError):
    """A `pipeline.toml` that cannot be read, or a key or value in it that is refused."""


class DataMissingError(Ta3nError):
    """A folder, file, class or split that was looked for and is not there."""


class DataConflictError(Ta3nError):
    """Data that contradicts itself, a benchmark, or an earlier run in the same folder."""


class FeatureStoreError(Ta3nError):
    """A shard, sidecar or manifest that is unreadable or does not match its checksum."""


class WeightsError(Ta3nError):
    """Backbone weights that are missing, damaged or of another network."""


class DeviceError(Ta3nError):
    """A device that does not exist or cannot be used."""


class WorkerError(Ta3nError):
    """A worker process that cannot be kept alive."""


class TrainingError(Ta3nError):
    """A training run that cannot start or must stop, with the culprit named."""


class DivergedError(TrainingError):
    """Every other run is done, but some diverged: a loss of theirs stopped being finite."""

    exit_code = 3


class SubmissionError(Ta3nError):
    """A file for a challenge that its server would refuse, or score otherwise than it seems."""

    exit_code = 4


class ClipError(Ta3nError):
    """One clip that yields no usable features; the job goes on with the next."""


class TooManyFailuresError(Ta3nError):
    """The job is done, but more clips failed than `--max-failures` allows."""

    exit_code = 3


class InterruptedRunError(KeyboardInterrupt):
    """Stopped by a signal; the same command line goes on where it stopped.

    No `Exception`: what goes on after errors, in our code or a library's, must not after this.
    """

    exit_code = EXIT_INTERRUPTED


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the nearest known name, or an empty string."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean '{by_folded[close[0]]}'?)" if close else ""


def shorten(names: Iterable[str], limit: int = 5) -> str:
    """Join names with commas; after `limit` of them say how many are left out."""
    listed = list(names)
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind if it has none."""
    # A KeyError's text is its key as Python writes it.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return (text.strip().splitlines() or [type(error).__name__])[0]


def reason_of(error: BaseException) -> str:
    """Return the kind of an error and its first line, shortened."""
    kind = type(error).__name__
    return f"{kind}: {first_line(error)[:200]}".removesuffix(f": {kind}")


def lack_of_the_machine(error: BaseException) -> str | None:
    """Return what the machine, or a limit that it sets, lacks, in one line; None for a fault."""
    if isinstance(error, MemoryError):
        more = f": {error}" if str(error) else ""
        return f"not enough memory{more}; {_MORE_MEMORY}"
    if isinstance(error, OSError):
        return _lack_by_the_system(error)
    if isinstance(error, ImportError):
        return _lack_of_a_library(error)
    if isinstance(error, RuntimeError):
        return next((lack for words, lack in _OF_RUNTIMES.items() if words in str(error)), None)
    return None


def _lack_by_the_system(error: OSError) -> str:
    if error.filename:
        return f"{error.strerror}: {error.filename}"
    # Of a process that cannot be started, or memory that cannot be mapped.
    known = {errno.EAGAIN: _NO_MORE_THREADS, errno.ENOMEM: _NO_MEMORY}
    return known.get(error.errno or 0, str(error))


def _lack_of_a_library(error: ImportError) -> str | None:
    if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "torchvision"):
        return f"{error.name} is not installed; {_BOTH_OF_TORCH}"
    # The latter is a name that a library has not.
    if not (error.path or "").endswith(".so") or str(error).startswith("cannot import name"):
        return None
    return (
        f"{error.path} cannot be loaded: {error}; it is damaged, or memory is limited too far "
        "(ulimit -v)"
    )


_BOTH_OF_TORCH = "install torch and torchvision in one command, from the same index"
_MORE_MEMORY = "give it more, or raise its limit (ulimit -v)"
_NO_MEMORY = f"not enough memory; {_MORE_MEMORY}"
_NO_MORE_THREADS = (
    "no more processes or threads can be started; raise their limit (ulimit -u, or that of the "
    "container) or that of memory (ulimit -v), or ask for fewer (--decode-threads, --jobs)"
)
_OF_RUNTIMES = {
    "can't start new thread": _NO_MORE_THREADS,
    "DefaultCPUAllocator: ": _NO_MEMORY,
    "operator torchvision::": f"torchvision is of another torch; {_BOTH_OF_TORCH}",
    "CUDA out of memory": "the GPU has not enough memory; is it used by others? Give a smaller "
    "--batch-size, or --device cpu",
}
"""What Python and torch say where something is lacking that they have no kind of error for."""


def unexpected(error: Exception) -> Ta3nError:
    """Return the error to tell of one that is no clip's fault, nor the user's."""
    return Ta3nError(
        f"unexpected {type(error).__name__}: {error}; no clip is to blame, but this software or "
        "the version of a package that it uses: see the traceback"
    )


def printable(text: str) -> str:
    """Return text for one line of any terminal: control characters and bad UTF-8 as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
