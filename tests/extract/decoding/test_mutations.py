"""If this breaks, some broken file crashes or hangs the decoder, or ends without a status."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ...support.decoding import ALL, FIVE, check, decode
from ...support.videos import WriteClip, write_seq

CODECS = {".avi": "mpeg4", ".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
SECONDS_ALLOWED = 20


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    made = {
        suffix: write_clip(folder / f"a{suffix}", 12, codec=codec)
        for suffix, codec in CODECS.items()
    }
    made[".seq"] = write_seq(folder / "a.seq", 6)
    return {suffix: path.read_bytes() for suffix, path in made.items()}


edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.binary(min_size=1, max_size=16) | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f"]),
    ),
    max_size=6,
)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    suffix=st.sampled_from([*CODECS, ".seq"]),
    edits=edits,
    keep=st.floats(0, 1) | st.just(1.0),
    sampled=st.booleans(),
)
def test_any_mutation_ends_in_one_status(
    originals: dict[str, bytes],
    tmp_path: Path,
    suffix: str,
    edits: list[tuple[float, bytes]],
    keep: float,
    sampled: bool,
) -> None:
    data = bytearray(originals[suffix])
    for where, value in edits:
        # Most of what can go wrong is in the headers, so the start is hit more often.
        start = int(where**2 * (len(data) - len(value)))
        data[start : start + len(value)] = value
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: int(keep * len(data))])
    selection = FIVE if sampled else ALL
    started_s = time.monotonic()
    crops, outcome = decode(path, selection)
    assert time.monotonic() - started_s < SECONDS_ALLOWED
    check(outcome, len(crops), selection)
