"""Members of an uncompressed tar archive, read from its headers alone: nothing is unpacked.

Python's own reader takes a damaged header in the middle for the end, and hostile sizes lead older
ones in a circle. The format is that of POSIX (ustar and pax) with the long names of GNU tar.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ta3n.common.errors import ClipError, printable

TAR_SUFFIX = ".tar"
"""What archives are called that may be videos, in lower case."""

_BLOCK = 512
_MOST_FOR_A_NAME = 2**20
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_NAMES, _SPARSE = (b"x", b"g", b"L", b"K"), b"S"
# Links, devices and folders have no data behind their headers, whatever size these tell.
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


_SIZE = re.compile("[0-9]{1,18}")


class TarMember(NamedTuple):
    """A file in an archive: where its bytes lie, or that it is a link or device, without any."""

    name: str
    offset: int
    size: int
    has_data: bool


def tar_members(path: Path, on_header: Callable[[], None] | None = None) -> Iterator[TarMember]:
    """Yield the members of an archive but for folders, by one pass over its headers.

    Args:
        on_header: Called for each.

    Raises:
        ClipError: If it is no archive, is compressed, or is damaged from some byte on.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        headers = _Headers(file, file.seek(0, 2))
        while member := headers.next_member():
            if on_header is not None:
                on_header()
            if not member.name.endswith("/"):
                yield member


class _Headers:
    """The headers of an archive, one after another.

    Some describe the member after them, or all that come: with names too long for a header.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._position = 0
        self._of_all: dict[str, str] = {}

    def next_member(self) -> TarMember | None:
        """Return the next file or folder, whose name ends in a slash; None at the end."""
        of_next: dict[str, str] = {}
        while header := self._next_header():
            kind, told = header[156:157], self._of_all | of_next
            name, size = _name_in(header), 0 if kind in _WITHOUT_DATA else _number(header[124:136])
            if kind not in _NAMES:
                name = told.get("path") or name
                size = int(told["size"]) if _SIZE.fullmatch(told.get("size", "")) else size
            data = self._position + _BLOCK
            if not 0 <= size <= self._size - data:
                raise ClipError(
                    f"is a damaged archive: {printable(name)!r} at byte {self._position} has "
                    f"{size} bytes, and {self._size - data} are left"
                )
            self._position = data + -(-size // _BLOCK) * _BLOCK
            if kind == b"g":
                self._of_all |= self._names(kind, data, size)
            elif kind in _NAMES:
                of_next |= self._names(kind, data, size)
            elif kind == _SPARSE or any(key.startswith("GNU.sparse") for key in told):
                raise ClipError(f"holds {printable(name)!r} as a sparse file; pack it as it is")
            else:
                name = f"{name}/" if kind == b"5" else name
                return TarMember(name, data, size, kind not in _WITHOUT_DATA)
        return None

    def _next_header(self) -> bytes:
        """Return the header that is next, empty at the end of the archive."""
        header = self._read(self._position, _BLOCK)
        if self._position and len(header) == _BLOCK and not any(header):
            return b""
        if len(header) < _BLOCK or not _is_sound(header):
            raise self._bad_header(header, self._position)
        return header

    def _read(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(length)

    def _bad_header(self, header: bytes, position: int) -> ClipError:
        if position:
            what = "ends" if len(header) < _BLOCK else "has no sound header"
            return ClipError(f"is a damaged archive: it {what} at byte {position} of {self._size}")
        for start, name in _COMPRESSED.items():
            if header.startswith(start):
                return ClipError(
                    f"is compressed ({name}), and frames are read in place: uncompress it"
                )
        return ClipError("is no tar archive" if self._size else "the file is empty (0 bytes)")

    def _names(self, kind: bytes, data: int, size: int) -> dict[str, str]:
        """Return what a member that describes the next one, or all after it, tells."""
        if size > _MOST_FOR_A_NAME:
            raise ClipError(f"is a damaged archive: a name of {size} bytes at byte {data}")
        text = self._read(data, size)
        if kind in (b"L", b"K"):
            return {"path": _text(text.rstrip(b"\0"))} if kind == b"L" else {}
        told = {}
        while text:
            length, _, _ = text.partition(b" ")
            if not (length.isdigit() and len(length) < 8 and len(length) < int(length)):
                raise ClipError(f"is a damaged archive: no pax record at byte {data}")
            record, text = text[len(length) + 1 : int(length) - 1], text[int(length) :]
            key, _, value = record.partition(b"=")
            told[_text(key)] = _text(value)
        return told


def _is_sound(header: bytes) -> bool:
    """Check a header against its checksum, which takes itself for blanks."""
    plain = header[:148] + b" " * 8 + header[156:]
    # Some old ones add up signed bytes.
    signed = sum(plain) - 256 * sum(byte > 127 for byte in plain)
    return _number(header[148:156]) in (sum(plain), signed)


def _number(field: bytes) -> int:
    """Read a number in octal digits, or in base 256 by a mark in the first byte; -1 if neither."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:]) if field[0] == 0x80 else -1
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        return -1


def _name_in(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0]
    is_posix = header[257:263] == b"ustar\0"
    return _text(prefix + b"/" + name if is_posix and prefix else name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
