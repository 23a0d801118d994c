"""If this breaks, features are computed from colours that nobody filmed."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ta3n.common.video import VideoReader, colour_warning, write_video

from ..support.videos import moving_square

RGB = (200, 80, 40)
# Red's and blue's share in luma, and FFmpeg's number of the matrix.
BT601, BT709, BT2020 = (0.299, 0.114, 6), (0.2126, 0.0722, 1), (0.2627, 0.0593, 9)
UNTAGGED = (0.299, 0.114, 2)


def coded(matrix: tuple[float, float, int], *, full: bool, bits: int) -> tuple[int, int, int]:
    """Return luma and chroma of RGB, after the formulas of ITU-R BT.601, 709 and 2020."""
    red_share, blue_share, _ = matrix
    red, green, blue = (value / 255 for value in RGB)
    luma = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    cb, cr = (blue - luma) / (2 - 2 * blue_share), (red - luma) / (2 - 2 * red_share)
    unit = 2 ** (bits - 8)
    if full:
        most = 2**bits - 1
        return round(luma * most), round(cb * most + 128 * unit), round(cr * most + 128 * unit)
    return (
        round((16 + 219 * luma) * unit),
        round((128 + 224 * cb) * unit),
        round((128 + 224 * cr) * unit),
    )


def write_colour(
    path: Path,
    matrix: tuple[float, float, int],
    *,
    full: bool = False,
    pixel_format: str = "yuv420p",
    transfer: int = 1,
    primaries: int = 1,
) -> None:
    """Encode one colour without loss, tagged as it is coded."""
    bits = {"10": 10, "12": 12}.get(pixel_format.removesuffix("le")[-2:], 8)
    values = coded(matrix, full=full, bits=bits)
    dtype = np.uint8 if bits == 8 else np.uint16
    with av.open(str(path), "w") as container:
        codec, options = ("ffv1", {}) if bits == 12 else ("libx264", {"qp": "0"})
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        for number in range(3):
            frame = av.VideoFrame(64, 64, pixel_format)
            for plane, value in zip(frame.planes, values, strict=True):
                samples = plane.buffer_size // np.dtype(dtype).itemsize
                plane.update(np.full(samples, value, dtype).tobytes())
            frame.pts = number
            for target in (stream.codec_context, frame):
                target.color_range = 2 if full else 1
                target.colorspace = matrix[2]
                target.color_trc = transfer
                target.color_primaries = primaries
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read(path: Path) -> tuple[np.ndarray, str]:
    with VideoReader(path) as reader:
        (first, *_) = [frame.rgb() for frame in reader.frames()]
    return first, reader.warning


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [UNTAGGED, BT601, BT709])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p12le"])
def test_colours_come_back_as_they_were_coded(
    tmp_path: Path, matrix: tuple[float, float, int], pixel_format: str, full: bool
) -> None:
    path = tmp_path / "a.mkv"
    write_colour(path, matrix, full=full, pixel_format=pixel_format)
    pixels, warning = read(path)
    # Confusing the matrices would be off by 15, the ranges by 20.
    assert np.abs(pixels.astype(int) - RGB).max() <= 4
    assert not warning


@pytest.mark.parametrize(
    ("transfer", "warning"), [(16, "HDR (PQ)"), (18, "HDR (HLG)"), (14, "BT.2020 colours")]
)
def test_wide_colours_are_converted_with_a_warning(
    tmp_path: Path, transfer: int, warning: str
) -> None:
    path = tmp_path / "a.mkv"
    write_colour(path, BT2020, pixel_format="yuv420p10le", transfer=transfer, primaries=9)
    pixels, found = read(path)
    assert np.abs(pixels.astype(int) - RGB).max() <= 4
    assert found.startswith(warning)
    assert found.endswith("mapping")


def test_usual_colours_are_no_warning() -> None:
    assert colour_warning(1, 1) == colour_warning(2, 2) == ""


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize(("aspect", "told"), [(Fraction(64, 45), True), (Fraction(1), False)])
def test_pixels_that_are_not_square_are_told(
    tmp_path: Path, suffix: str, aspect: Fraction, told: bool
) -> None:
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for pixels in moving_square(5, 96, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    _, warning = read(path)
    assert warning == ("pixels of 64:45 are taken as square" if told else "")


@pytest.mark.parametrize("alpha", [0, 128, 255])
@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "ffv1", "bgra"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mkv", "ffv1", "yuva444p10le"),
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "png", "rgba64be"),
        ("a.mov", "prores_ks", "yuva444p10le"),
    ],
)
def test_transparency_is_told_where_there_is_some(
    tmp_path: Path, name: str, codec: str, pixel_format: str, alpha: int
) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        for pixels in moving_square(5, 96, 64):
            rgba = np.dstack([pixels, np.full((64, 96), 255, np.uint8)])
            rgba[:, 48:, 3] = alpha
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode(None))
    _, warning = read(path)
    assert warning == ("" if alpha == 255 else "transparent pixels are taken as opaque")


def test_transparency_that_the_decoder_leaves_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    write_video(
        path, moving_square(5, 96, 64), frame_rate=25, codec="libvpx-vp9", pixel_format="yuva420p"
    )
    assert read(path)[1] == "transparent pixels are taken as opaque"
