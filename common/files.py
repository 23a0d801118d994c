"""Files that are complete or not there: temporary name, fsync, rename."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give a private name in the folder of `path`; whatever is left under it is removed.

    The name says nothing that another job could take for its own, so any number of jobs may
    write the same file at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


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


def replace_file(path: Path, data: bytes) -> None:
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
    """Give a finished file its final name, unless another job was first.

    Published files never change, so whatever was derived from one stays true.

    Returns:
        Whether this call published the file; False if the name was taken already.

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
