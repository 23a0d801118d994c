"""If this breaks, nobody can look at what the features of a clip are."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ta3n.extract.features_cli import main
from ta3n.extract.inspect.show import self_similarity
from ta3n.extract.job.run import run_job

from ...support.extraction import job
from ...support.videos import WriteClip


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["show", *(str(arg) for arg in args)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> Path:
    """Return a folder of two clips, one of them bad, with their features."""
    base = tmp_path_factory.mktemp("shown")
    write_clip(base / "UCF-101" / "Archery" / "v_Archery_g01_c01.avi", 8)
    (base / "UCF-101" / "Archery" / "v_Archery_g02_c01.avi").write_bytes(b"no video")
    run_job(job(base / "UCF-101", base / "ucf101"))
    return base


def test_rows_are_compared_by_their_direction() -> None:
    rows = np.array([[1, 0], [3, 0], [0, 2], [0, 0]], np.float32)
    assert self_similarity(rows).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0] * 4]


def test_record_and_picture(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "similar.png"
    result = run(made / "ucf101", "g01", "--root", made / "UCF-101", "--out", out)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Archery/v_Archery_g01_c01.avi"
    assert "  status: ok" in lines
    assert "  num_frames: 8" in lines
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.size == (960, 600)


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("Archery",), 2, "2 clips of"),
        (("Archery/v_Archery_g01_c1.avi",), 2, "did you mean 'Archery/v_Archery_g01_c01.avi'?"),
        (("g02", "--out", "x.png"), 1, "g02 has no features to draw: it is failed"),
        (("g01", "--root", "x"), 2, "give --out FILE as well"),
        (("g01", "--root", "none", "--out", "x.png"), 1, "cannot be opened"),
    ],
)
def test_mistakes_are_told(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(made / "ucf101", *args)
    assert result.exit_code == code
    assert told in result.stderr
    assert not Path("x.png").exists()
