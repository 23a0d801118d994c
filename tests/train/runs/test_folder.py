"""If this breaks, two different runs share a folder, or a finished run is not recognised."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import temporary_beside
from ta3n.train.runs.folder import RunConfig, RunFolder, RunResult
from ta3n.train.runs.selection import ChosenEpoch

CONFIG = RunConfig(
    benchmark="ucf-hmdb-small",
    source="ucf101",
    target="hmdb51",
    method="ta3n",
    temporal="relation",
    label="TA3N",
    identity={"terms": ["attentive_entropy"]},
    settings={"recipe": {"name": "official", "epochs": 30}},
    data={"manifests": {"ucf101": "a"}},
)
RESULT = RunResult(
    seed=3,
    rules={
        "last": ChosenEpoch(epoch=30, correct=3, total=4, uses_target_labels=False),
        "oracle": ChosenEpoch(epoch=7, correct=4, total=4, uses_target_labels=True),
    },
    target_label_reads=124,
    coverage={"source": (10, 12)},
)


def test_folder_name_tells_the_row_and_changes_with_anything_that_matters(tmp_path: Path) -> None:
    folder = CONFIG.folder(tmp_path, 3)
    assert folder.relative_to(tmp_path).parts[:2] == ("ucf-hmdb-small", "ucf101-hmdb51")
    assert folder.parent.name.startswith("ta3n-relation-official-")
    assert folder.name == "seed-3"
    others = [
        replace(CONFIG, identity={"terms": ["attentive_entropy"], "recipe": {"epochs": 29}}),
        replace(CONFIG, data={"manifests": {"ucf101": "b"}}),
        replace(CONFIG, method="ta2n"),
    ]
    assert len({folder, *(other.folder(tmp_path, 3) for other in others)}) == 4


def test_result_comes_back_and_marks_the_run_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.read_result() is None
    folder.write_start(CONFIG, 3)
    assert folder.read_result() is None
    folder.write_result(RESULT)
    assert folder.read_result() == RESULT
    assert RESULT.rules["last"].percent == 75.0


def test_figures_count_where_nothing_can_be_removed(tmp_path: Path) -> None:
    """As in an archive, or in somebody else's folder."""
    folder = RunFolder(tmp_path / "seed-3")
    folder.write_result(RESULT)
    folder.weights.write_bytes(b"")
    folder.checkpoint.mkdir()
    assert folder.is_finished()


def test_what_a_killed_run_was_writing_goes_when_it_goes_on_or_is_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    with temporary_beside(folder.checkpoint) as live:
        live.write_bytes(b"half")
        left = live.with_name(live.name.replace(f"-{os.getpid()}-", f"-{killed.pid}-"))
        left.write_bytes(b"half")
        folder.write_start(CONFIG, 3)
        assert not left.exists()
        folder.write_result(RESULT)
        left.write_bytes(b"half")
        assert folder.is_finished()
        assert not left.exists()
        assert live.exists(), "a process that still writes keeps its own"


def test_a_finished_run_is_told_on_a_file_system_that_is_mounted_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_start(CONFIG, 3)
    folder.weights.write_bytes(b"")
    folder.write_result(RESULT)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        # The system says so before it looks whether there is such a file.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert folder.is_finished()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"seed": 1}'])
def test_damaged_result_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(FeatureStoreError, match=r"result\.json is damaged"):
        RunFolder(tmp_path).read_result()


def test_predictions_keep_any_file_name(tmp_path: Path) -> None:
    name = 'A/\udce9, "x".avi'
    RunFolder(tmp_path).write_predictions([{"video": name, "label": 1}])
    assert b'"A/\xe9, ""x"".avi",1' in (tmp_path / "predictions.csv").read_bytes()
