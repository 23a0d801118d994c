"""If this breaks, the way from the published files to what is handed in ends somewhere between.

The files are made up, in the published form, by `epic/make_pickles.py` of the folder that
TA3N_SHARED names.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.extract.features_cli import main as ta3n_features
from ta3n.train.cli import main as ta3n_train
from ta3n.train.report.cli import main as ta3n_report

STYLES = ("py2", "p2", "p3", "p4", "numpy2")
PARTS = 5
SEGMENTS = 6


def call(command: click.Command, *args: object) -> str:
    result = CliRunner().invoke(command, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.shared
def test_pickles_and_annotations_become_a_submission(shared: Path, tmp_path: Path) -> None:
    script = shared / "epic" / "make_pickles.py"
    made, features, runs = tmp_path / "made", tmp_path / "features", tmp_path / "runs"
    subprocess.run([sys.executable, script, made, "--dim", "4"], check=True, capture_output=True)
    annotations = made / "annotations"

    # Whoever pickled the features, they are the same ones.
    kept = []
    for style in STYLES:
        out = features / style
        source = made / style
        call(ta3n_features, "import", "--epic", source, "--annotations", annotations, "--out", out)
        folders = [out / f"epic100-{domain}" for domain in ("source", "target")]
        manifests = [read_record(Manifest, folder / MANIFEST_NAME) for folder in folders]
        assert sum(len(manifest.clips) for manifest in manifests) == PARTS * SEGMENTS
        kept.append({clip.path: clip.crc32 for each in manifests for clip in each.clips})
    assert kept == [kept[0]] * len(STYLES)

    common = (
        "--source", "epic-source", "--target", "epic-target", "--features", features / STYLES[0],
        "--out", runs, "--recipe", "epic100", "--epochs", 2, "--device", "cpu",
    )  # fmt: skip
    tuned = call(ta3n_train, *common, "--benchmark", "epic100-tune")
    assert "floor in percent" in tuned
    final = call(ta3n_train, *common, "--benchmark", "epic100-final", "--seeds", 2)
    assert "no labels" in final
    (tune_run,) = runs.glob("epic100-tune/*/*/seed-0")
    evaluated = call(
        ta3n_train, "--evaluate", tune_run, "--target", "epic-target", "--features",
        features / STYLES[0], "--device", "cpu", "--action-prior", "train",
    )  # fmt: skip
    assert "action top-5" in evaluated

    (seed,) = runs.glob("epic100-final/*/*/seed-0")
    handed_in = tmp_path / "test.zip"
    submitted = call(
        ta3n_train, "--submit", seed.parent, "--out", handed_in, "--features", features / STYLES[0],
        "--annotations", annotations, "--sls-pt", 2, "--sls-tl", 3, "--sls-td", 4,
        "--device", "cpu",
    )  # fmt: skip
    checked = call(ta3n_report, "check-submission", handed_in, "--annotations", annotations)
    assert checked.splitlines()[-1] == submitted.splitlines()[-1]
    assert f"{SEGMENTS} segments of target_test" in checked
    with zipfile.ZipFile(handed_in) as archive:
        record = json.loads(archive.read("test.json"))
    ids = [name for name in kept[0] if name in record["results_target"]]
    assert len(ids) == len(record["results_target"]) == SEGMENTS
    assert [record[f"sls_{level}"] for level in ("pt", "tl", "td")] == [2, 3, 4]
    page = call(ta3n_report, runs, "--out", tmp_path / "report", "--no-pictures")
    assert "Verb, noun and action" in page
