"""Files that are complete or not there: temporary name, fsync, rename."""

import codecs
import hashlib
import io
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\..+\.(?P<machine>[0-9a-f]{8})-(?P<pid>[0-9]{1,9})-[0-9a-f]{8}\.tmp")
# What another machine left can only be judged by its age: no write takes that long.
_STALE_AFTER_S = 24 * 3600.0


def canonical_json(value: Any) -> bytes:
    """Return JSON that is byte-equal for equal values: sorted keys, ASCII, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expand_home(path: Path) -> Path:
    """Return a path with the home folder in the place of a leading `~`.

    Shells leave it alone after `=`, as in `--out=~/features`. A home that is nobody's stays as is.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises there


def is_named_in_utf8(path: Path) -> bool:
    """Say whether libraries find a file that take its name as UTF-8, as torch does to map one.

    Names on disk may be of any bytes, and be in another encoding where the locale says so.
    """
    return os.fsencode(path) == str(path).encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """Return the text of a file as people's programs write it: UTF-8 or UTF-16, marked or not.

    Bytes that are not UTF-8 become the surrogates that file names on disk have too.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    # Texts hold no zero bytes, but as halves of the letters that UTF-16 has most of.
    if b"\0" in data[:2]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    return data.decode("utf-8-sig", errors="surrogateescape")


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give a private name in the folder of `path`; whatever is left under it is removed.

    No two jobs get the same one, so any number of them may write the same file at once.

    Raises:
        OSError: Of what is done meanwhile, with the folder where an error names no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    private = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}.{private}.tmp")
    try:
        yield temporary
    except OSError as error:
        # Writing, unlike opening, does not say where the disk is full.
        error.filename = error.filename or str(path.parent)
        raise
    finally:
        # Where removing fails, the write failed before, and that is the error to be told.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


class ErrorKeepingFile(io.FileIO):
    """A new file whose first write error is kept for the end instead of raised.

    For libraries that do not survive a full disk: HDF5 crashes the process at its end.
    Use as a context manager, which raises the error once the library is done with the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self._path = path
        self._error: OSError | None = None

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc, traceback)
        if self._error is not None:
            number, text = self._error.errno or 0, self._error.strerror
            raise OSError(number, text, str(self._path.parent)) from exc

    def write(self, data: Any, /) -> int:
        """Write all the data, or keep the error."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self._error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the file's size in bytes, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size or 0


def remove_stale_temporaries(folder: Path) -> None:
    """Remove temporary files of processes that are gone; a live process keeps its own.

    A process of this machine is gone if its number is. Files of another machine (or container, or
    from before a restart) are removed once they are a day old. What cannot be removed is left.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            with suppress(OSError):
                if match and _is_stale(match["machine"], int(match["pid"]), path.stat().st_mtime):
                    path.unlink()


@cache
def _machine() -> str:
    """Return what tells apart the places within which a process number means one process."""
    marks = [platform.node()]
    with suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        marks.append(str(Path("/proc/self/ns/pid").readlink()))
    return sha256_of("".join(marks).encode())[:8]


def _is_stale(machine: str, pid: int, changed_s: float) -> bool:
    if time.time() - changed_s > _STALE_AFTER_S:
        return True
    if machine != _machine():
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False


def fsync_path(path: Path) -> None:
    """Flush a file or folder to the disk; folders that cannot be flushed are left alone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def fsync_and_forget(path: Path) -> None:
    """Flush a file to the disk and drop it from memory: what is read then is what the disk holds.

    Where the system or the file system cannot drop it, it is flushed alone.

    Raises:
        OSError: If the file cannot be flushed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write `data` under `path`: a reader sees the old content or the new, never a part.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    with temporary_beside(path) as temporary:
        temporary.write_bytes(data)
        fsync_path(temporary)
        temporary.replace(path)
    fsync_path(path.parent)


def publish_file(temporary: Path, path: Path) -> bool:
    """Give a finished file its final name; return False if another job was first.

    Published files never change, so whatever was derived from one stays true.

    Raises:
        OSError: If the folder cannot be written.
    """
    fsync_path(temporary)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links. Two jobs may then both get here; their content is
        # the same but for rounding, and a later read checks it against the index inside.
        if path.exists():
            return False
        temporary.replace(path)
    fsync_path(path.parent)
    return True
