"""What comes as features alone must say how it is imported, wherever clips are asked for."""

from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.datasets.builtin.epic100 import EPIC100_SOURCE
from ta3n.datasets.catalogue import folders_of
from ta3n.datasets.custom.settings import DataSections
from ta3n.extract.exchange.epic import EpicImport, import_epic
from ta3n.train.data.videos import load_videos

from ...support.epic import write_challenge

IMPORT = "ta3n-features import --epic DIR --annotations DIR"


def test_clips_and_missing_features_are_told_how_to_import(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=IMPORT):
        EPIC100_SOURCE.scan(tmp_path)
    with pytest.raises(UsageError, match=IMPORT):
        folders_of(EPIC100_SOURCE, DataSections())
    tune = BUILT_IN_CATALOGUE.benchmark("epic100-tune")
    with pytest.raises(DataMissingError, match=IMPORT):
        load_videos(tmp_path, tune, "epic100-source", num_segments=5, allow_missing=False)


def test_rows_that_were_not_kept_are_imported_and_not_extracted(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path, count=2)
    job = EpicImport(source=pickles, annotations=annotations, out=tmp_path / "out")
    assert len(list(import_epic(job))) == 2
    known = tmp_path / "out", BUILT_IN_CATALOGUE.benchmark("epic100-tune"), "epic100-source"
    with pytest.raises(DataConflictError, match=r"or import with --segments 3 or --all-rows$"):
        load_videos(*known, num_segments=3, allow_missing=True)
    with pytest.raises(DataConflictError, match="every N-th; import with --all-rows, or leave"):
        load_videos(*known, num_segments=5, allow_missing=True, sampling="random")


def test_segments_of_one_recording_are_known_by_their_names() -> None:
    assert EPIC100_SOURCE.group_of("P01_101_12") == "P01_101"
    assert EPIC100_SOURCE.group_of("golf_01") is None
    assert EPIC100_SOURCE.recording_of("3,14", "P01_11_0") == ("", "P01_11")
