"""A worker process that breaks on chosen clips, for tests of the supervisor.

Started in the place of `python -m ta3n.extract.worker.process`: production code knows nothing of
it. The variable TA3N_TEST_FAULTS holds JSON, from a clip's stem to what decoding its third frame
does.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ta3n.common.sampling import AS_IT_IS, Reading
from ta3n.common.video import ClipReader, Frame, nothing
from ta3n.extract.decoding import decode
from ta3n.extract.worker import process as worker


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
    """Die as memory that runs out with the network loaded would have it."""
    if "torch" in sys.modules:
        os.kill(os.getpid(), signal.SIGKILL)


FAULTS: dict[str, Callable[[], None]] = {
    "segfault": segfault,
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang,
    "freeze": freeze,
    "misuse": misuse,
    "kill in company": kill_in_company,
}


def main() -> None:
    faults: dict[str, str] = json.loads(os.environ.get("TA3N_TEST_FAULTS", "{}"))
    if "start" in faults:
        os.abort()
    opened = decode.open_clip

    def open_clip(
        path: Path, on_packet: Callable[[], None] = nothing, reading: Reading = AS_IT_IS
    ) -> ClipReader:
        reader = opened(path, on_packet, reading)
        fault = faults.get(path.stem)
        if fault is not None:
            frames = reader.frames

            def break_at_third() -> Iterator[Frame]:
                for number, frame in enumerate(frames()):
                    if number == 2:
                        FAULTS[fault]()
                    yield frame

            reader.frames = break_at_third  # type: ignore[method-assign]
        return reader

    decode.open_clip = open_clip
    worker.main()


if __name__ == "__main__":
    main()
