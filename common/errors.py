"""The one error tree. Only the command line turns these into exit codes.

A message names what was wrong, its value, and what to do about it, in one line.
"""

EXIT_OK = 0
EXIT_ENVIRONMENT = 1
EXIT_USAGE = 2
EXIT_TOO_MANY_FAILURES = 3
EXIT_INTERRUPTED = 75


class Ta3nError(Exception):
    """Anything that this software refuses or cannot do, told in one line."""

    exit_code = EXIT_ENVIRONMENT


class UsageError(Ta3nError):
    """An option or setting that makes no sense, alone or with another one."""

    exit_code = EXIT_USAGE


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


class ClipError(Ta3nError):
    """One clip that yields no usable features; the job goes on with the next."""


class TooManyFailuresError(Ta3nError):
    """The job is done, but more clips failed than `--max-failures` allows."""

    exit_code = EXIT_TOO_MANY_FAILURES


class InterruptedRunError(Ta3nError):
    """Stopped by a signal; the same command line goes on where it stopped."""

    exit_code = EXIT_INTERRUPTED
