"""What a file is that was taken for a video: downloads that went wrong are told by their names."""

from pathlib import Path

_NUM_BYTES = 1024
_POINTER = "a {} pointer, not the video: run `{} {}` where it was cloned"
_PAGE = "a web page, not a video: the server answered with a page; download it again"
_ARCHIVE = "an archive ({}), not a video: unpack it"
# By how they start, behind white space and a byte order mark; letters in lower case.
_BY_START = {
    b"version https://git-lfs": _POINTER.format("Git LFS", "git lfs", "pull"),
    b"/annex/objects/": _POINTER.format("git-annex", "git annex", "get"),
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"<head": _PAGE,
    b"<?xml": "an XML document, not a video: perhaps a server's error; download it again",
    b"{": "a text in JSON, not a video: perhaps a server's error; download it again",
    b"pk\x03\x04": _ARCHIVE.format("zip"),
    b"rar!": _ARCHIVE.format("rar"),
    b"7z\xbc\xaf": _ARCHIVE.format("7z"),
    b"\x1f\x8b": _ARCHIVE.format("gzip"),
    b"%pdf": "a PDF document, not a video",
    b"\x89png": "a picture (PNG), not a video",
}


def describe_other_file(path: Path) -> str:
    """Say what a file is that could not be opened as a video; empty where that is not known."""
    try:
        # Pipes would be waited for.
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            data = file.read(_NUM_BYTES)
    except OSError:
        return ""
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = [f"it is {what}" for known, what in _BY_START.items() if start.startswith(known)]
    if not data:
        found.append("the file is empty (0 bytes)")
    elif not data.strip(b"\0"):
        found.append("it begins with zeros only: a copy or a download that was never finished")
    elif _is_text(data):
        found.append("it is a text, not a video")
    return found[0] if found else ""


def _is_text(data: bytes) -> bool:
    try:
        # The last letter may be cut.
        data[: _NUM_BYTES - 3].decode()
    except UnicodeDecodeError:
        return False
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in data)
