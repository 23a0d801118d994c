"""If this breaks, pickles of the published form are misread, or broken ones are believed.

The files are written by `epic/make_pickles.py` of the folder that TA3N_SHARED names: tiny ones of
every age of pickle, and each kind of damage that was thought of.
"""

import json
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.store import Features, ShardReader, shard_path
from ta3n.datasets.epic.challenge import MODALITIES
from ta3n.extract.exchange.pickles import open_pickle
from ta3n.extract.features_cli import main

pytestmark = pytest.mark.shared

DIM = 8
STYLES = ("py2", "p2", "p3", "p4", "numpy2")
CANARY = "PICKLE_WAS_EXECUTED"

ACCEPTED = {
    "other-order": "has its segments in another order than",
    "ids-as-array-U": "",
    "ids-as-array-S": "",
    "ids-as-array-O": "",
    "dtype-float64": "",
    "dtype-float16": "",
    "dtype-big-endian": "",
    "order-fortran": "",
    "nan-row-unread": "1 rows that are not kept are not finite, the first is row 13 of RGB of P91_",
    "other-modality-order": "holds Audio, Flow, RGB in this order; columns are in that of RGB, Fl",
}
"""Kind of file that holds what it should, and what is told of it."""

REFUSED = {
    "missing-id": "has no features of P91_02_1, 1 of the 6 segments in",
    "extra-id": "has features of P99_99_9, which .* does not list",
    "duplicate-id": "has P91_01_0 twice, as segments 0 and 5",
    "fewer-ids-than-rows": "has 5 narration_ids for 6 segments",
    "ids-as-numbers": "narration_ids hold an int, not texts",
    "dtype-int32": "RGB has values of int32, not floats",
    "dtype-text": "RGB has values of <U8, not floats",
    "nan-rows": "row 12 of RGB of P91_01_1 is not finite",
    "infinite-rows": "row 12 of RGB of P91_01_1 is not finite",
    "object-array": "RGB has objects for values .dtype object",
    "object-array-ragged": "RGB has objects for values .dtype object",
    "list-of-arrays": "RGB is a list, not an array",
    "rows-24": r"RGB has shape \[6, 24, 8\], not segments x 25 rows x values",
    "rows-last": r"RGB has shape \[6, 8, 25\], not segments x 25 rows x values",
    "flat": r"RGB has shape \[6, 8\], not segments x 25 rows x values",
    "other-width": "has 8 values a row of Flow, 'source_train.pkl' has 7",
    "no-audio": "has no Audio, but RGB, Flow; --modalities chooses",
    "no-ids": r"has no key narration_ids \(it has features\)",
    "no-features": r"has no key features \(it has narration_ids\)",
    "bare-array": "holds an array, not a dict",
    "empty-dict": r"has no key features \(it has no key\)",
    "no-segments": "RGB holds no segment",
    "truncated": "it ends early.*; fetch it again",
    "empty-file": "it is empty",
    "web-page": "it is a web page",
    "compressed": "it is packed by gzip; unpack it first",
    # Python names its module _io from 3.13 on.
    "malicious-reduce": r"it asks for _?io\.open, which no array needs",
    "malicious-in-ids": "it asks for .*builtin.*[.]eval, which no array needs",
    "malicious-in-array": r"it asks for _?io\.open, which no array needs",
    "malicious-dotted-name": "it asks for numpy.f2py.os.mkdir, which no array needs",
    "malicious-huge-shape": r"an array of shape \[2147483647, 1, 1\] of float32 is declared, but",
}
ONLY_IN_P4 = ("malicious-dotted-name", "malicious-huge-shape")
BROKEN = [
    (style, kind)
    for style in ("py2", "p4")
    for kind in (*ACCEPTED, *REFUSED)
    if style == "p4" or kind not in ONLY_IN_P4
]


@pytest.fixture(scope="module")
def kit(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    script = shared / "epic" / "make_pickles.py"
    subprocess.run([sys.executable, "-P", script, folder, "--dim", str(DIM)], check=True)
    return folder


def feature_rows(name: str, modality: str) -> Features:
    """Return the rows of a segment [25, 8], as the kit's page gives them."""
    phase = zlib.crc32(name.encode()) % 1000 + 100 * MODALITIES.index(modality)
    steps = np.arange(1, 25 * DIM + 1, dtype=np.float64)
    return np.abs(np.sin(0.61 * steps + phase)).reshape(25, DIM).astype(np.float32)


def run(kit: Path, pickles: Path, out: Path, *more: str) -> Result:
    args = ("import", "--epic", pickles, "--annotations", kit / "annotations", "--out", out, *more)
    return CliRunner().invoke(main, [str(arg) for arg in args])


def check_features(out: Path, ids: set[str]) -> None:
    """Check that a feature folder holds every segment, with its own rows."""
    manifest = read_record(Manifest, out / MANIFEST_NAME)
    assert {clip.path for clip in manifest.clips} == ids
    for clip in manifest.clips:
        with ShardReader(shard_path(out, clip.shard)) as reader:
            rows = reader.rows(clip.start, range(clip.length))
        wanted = [feature_rows(clip.path, name)[[2, 7, 12, 17, 22]] for name in MODALITIES]
        np.testing.assert_allclose(rows, np.concatenate(wanted, axis=1), rtol=1e-3)


def ids_of(kit: Path, *splits: str) -> set[str]:
    good = json.loads((kit / "manifest.json").read_text())["good"]
    return {name for split in splits for name in good[split]["ids"]}


@pytest.mark.parametrize("style", STYLES)
def test_pickles_of_every_age_hold_the_same(kit: Path, tmp_path: Path, style: str) -> None:
    for split in ("source_train", "target_train", "target_test", "source_val", "target_val"):
        with open_pickle(kit / style / f"{split}.pkl") as found:
            assert set(found["narration_ids"]) == ids_of(kit, split)
            for modality in MODALITIES:
                rows = [feature_rows(name, modality) for name in found["narration_ids"]]
                assert np.array_equal(found["features"][modality].read(), np.stack(rows))
    result = run(kit, kit / style, tmp_path)
    assert result.exit_code == 0, result.stderr
    check_features(tmp_path / "epic100-source", ids_of(kit, "source_train", "source_val"))
    targets = ids_of(kit, "target_train", "target_val", "target_test")
    check_features(tmp_path / "epic100-target", targets)


def test_every_broken_file_is_among_those_tried(kit: Path) -> None:
    broken = json.loads((kit / "manifest.json").read_text())["broken"]
    assert {one["file"] for one in broken} == {f"{s}/broken/{k}.pkl" for s, k in BROKEN}
    assert len(BROKEN) == 80


@pytest.mark.parametrize(("style", "kind"), BROKEN)
def test_a_broken_file_is_told_or_holds_the_same_numbers(
    kit: Path, tmp_path: Path, style: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickles = tmp_path / "pickles"
    shutil.copytree(kit / style, pickles, ignore=shutil.ignore_patterns("broken"))
    shutil.copy(kit / style / "broken" / f"{kind}.pkl", pickles / "source_train.pkl")
    monkeypatch.chdir(tmp_path)
    result = run(kit, pickles, tmp_path / "out")
    if kind in ACCEPTED:
        assert result.exit_code == 0, result.stderr
        assert ACCEPTED[kind] in result.stderr
        ids = ids_of(kit, "source_train", "source_val")
        check_features(tmp_path / "out" / "epic100-source", ids)
        return
    assert result.exit_code == 1
    error = result.stderr.splitlines()[-1]
    assert re.search(rf"pickles/\w+\.pkl'.*{REFUSED[kind]}", error)
    assert not list(tmp_path.glob("out/*/shard-*"))
    assert not list(tmp_path.rglob(CANARY))
    assert not Path(CANARY).exists()


def test_what_a_broken_file_holds_besides_can_be_taken(kit: Path, tmp_path: Path) -> None:
    pickles = tmp_path / "pickles"
    shutil.copytree(kit / "p4", pickles, ignore=shutil.ignore_patterns("broken"))
    shutil.copy(kit / "p4" / "broken" / "no-audio.pkl", pickles / "source_train.pkl")
    result = run(kit, pickles, tmp_path / "out", "--modalities", "RGB,Flow")
    assert result.exit_code == 0, result.stderr
    config = read_record(Manifest, tmp_path / "out" / "epic100-source" / MANIFEST_NAME).config
    assert config.transform == "columns RGB 8, Flow 8"
