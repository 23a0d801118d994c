"""A decoder process that breaks on chosen clips, for tests of those who survive it.

Started in the place of `python -m ta3n.extract.decoders`: production code knows nothing of it. The
variable TA3N_TEST_FAULTS holds JSON, from a clip's stem to what decoding its third frame
does.
"""

import ctypes
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ta3n.common.sampling import AS_IT_IS, Reading
from ta3n.common.video import ClipReader, Frame, nothing
from ta3n.extract.decoders import decoder
from ta3n.extract.decoding import decode


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    time.sleep(3600)


def freeze() -> None:
    """Hang without letting any other thread run."""
    ctypes.PyDLL(None).sleep(3600)


def misuse() -> None:
    """Fail as code that calls a package of another version does."""
    raise TypeError("unexpected keyword argument 'threads'")


def kill_in_company() -> None:
    """Die as memory would have it that does not suffice for two clips at a time."""
    if not mark("tried").exists():
        while not others_decoding():
            time.sleep(0.01)
        mark("tried").touch()
        die()
    if others_decoding():
        die()


def die() -> None:
    own_mark().unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def keep_company() -> None:
    """Take so long that the other clip would be tried again meanwhile."""
    while not mark("tried").exists():
        time.sleep(0.01)
    time.sleep(2)


def stall() -> None:
    """Read from a disk that from now on does not answer, once."""
    if not mark("tried").exists():
        mark("tried").touch()
        mark("stalled").touch()
        wait_for_disk()


def wait_for_disk() -> None:
    while mark("stalled").exists():
        time.sleep(0.01)


def mark(name: str) -> Path:
    """Return a file that all decoders of a test see, if it gave them a folder."""
    return Path(os.environ.get("TA3N_TEST_MARKS", "/nonexistent")) / name


def others_decoding() -> list[Path]:
    return [path for path in mark("").glob("decoding-*") if path != own_mark()]


def own_mark() -> Path:
    return mark(f"decoding-{os.getpid()}")


FAULTS: dict[str, Callable[[], None]] = {
    "segfault": segfault,
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang,
    "freeze": freeze,
    "misuse": misuse,
    "kill in company": kill_in_company,
    "keep company": keep_company,
    "stall": stall,
}


def main() -> None:
    faults: dict[str, str] = json.loads(os.environ.get("TA3N_TEST_FAULTS", "{}"))
    if "start" in faults:
        os.abort()
    opened = decode.open_clip

    def open_clip(
        path: Path, on_packet: Callable[[], None] = nothing, reading: Reading = AS_IT_IS
    ) -> ClipReader:
        wait_for_disk()
        reader = opened(path, on_packet, reading)
        frames, fault = reader.frames, faults.get(path.stem)

        def break_at_third() -> Iterator[Frame]:
            if mark("").is_dir():
                own_mark().touch()
            for number, frame in enumerate(frames()):
                if number == 2 and fault is not None:
                    FAULTS[fault]()
                yield frame
            own_mark().unlink(missing_ok=True)

        reader.frames = break_at_third  # type: ignore[method-assign]
        return reader

    decode.open_clip = open_clip
    decoder.main()


if __name__ == "__main__":
    main()
