"""If this breaks, a report silently lacks runs, or mixes runs that cannot be compared."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError

from ....support.made_runs import make_config, make_rows, make_run
from ....support.reports import collect_runs


def test_rows_stand_in_the_papers_order_with_their_seeds(tmp_path: Path) -> None:
    make_rows(
        tmp_path,
        {
            ("ta3n", "relation"): (15, 14),
            ("ours", "relation"): (11,),
            ("source-only", "relation"): (9,),
            ("source-only", "pooling"): (8,),
            ("target-only", "relation"): (19,),
            ("revgrad", "pooling"): (10,),
        },
    )
    (direction,) = collect_runs(tmp_path).directions
    assert direction.label == "ucf101 → hmdb51 (ucf-hmdb-small)"
    assert [row.label for row in direction.rows] == [
        "Target only, relation",
        "Source only, pooling",
        "Source only, relation",
        "RevGrad, pooling",
        "TA3N, relation",
        "ours, relation",
    ]
    ta3n = direction.rows[-2]
    assert ta3n.seeds == [0, 1]
    assert ta3n.percents("last") == [75, 70]
    assert ta3n.percents("oracle") == [80, 75]


def test_rows_of_one_method_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(epochs=2), 0, (1, 2))
    make_run(tmp_path, make_config(epochs=3), 0, (1, 2, 3))
    (direction,) = collect_runs(tmp_path).directions
    assert [row.variant for row in direction.rows] == ["epochs 2", "epochs 3"]


def test_directions_are_kept_apart(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(), 0, (1, 2, 3))
    make_run(tmp_path, make_config(source="hmdb51", target="ucf101"), 0, (1, 2, 3))
    found = [(d.source, d.target) for d in collect_runs(tmp_path).directions]
    assert found == [("hmdb51", "ucf101"), ("ucf101", "hmdb51")]


def test_what_is_unfinished_or_broken_is_named(tmp_path: Path) -> None:
    paths = {name: make_run(tmp_path / name, make_config(), 0, (1, 2, 3)) for name in "abcdefgh"}
    (tmp_path / "empty" / "seed-3").mkdir(parents=True)
    (paths["b"] / "result.json").unlink()
    (paths["c"] / "predictions.csv").unlink()
    (paths["d"] / "metrics.jsonl").write_bytes(b'{"epoch": 1')
    (paths["e"] / "result.json").write_text('{"rules": 3}')
    (paths["f"] / "config.json").write_bytes(b"\xff\xfe")
    text = (paths["g"] / "predictions.csv").read_text().splitlines()
    (paths["g"] / "predictions.csv").write_text("\n".join(text[:-1]))
    record = json.loads((paths["h"] / "config.json").read_text())
    record["settings"]["recipe"]["epochs"] = 30
    (paths["h"] / "config.json").write_text(json.dumps(record))
    found = collect_runs(tmp_path)
    assert len(found.directions[0].rows[0].runs) == 1
    notes = {note.split("/")[0]: note for note in found.notes}
    assert notes["b"].endswith("seed-0: unfinished, 3 of 3 epochs are saved")
    assert "predictions.csv: No such file" in notes["c"]
    assert "broken" in notes["d"]
    assert "result.json is damaged" in notes["e"]
    assert "broken" in notes["f"]
    assert "3 of 19 videos right by the rule last, result.json 3 of 20" in notes["g"]
    assert "does not match its own hash" in notes["h"]
    assert "config.json: No such file" in notes["empty"]
    assert not any(str(tmp_path) in note for note in found.notes)


def test_a_copy_of_a_run_is_counted_once(tmp_path: Path) -> None:
    path = make_run(tmp_path / "runs", make_config(), 0, (1, 2, 3))
    shutil.copytree(path, tmp_path / "runs" / "copy" / "seed-0")
    found = collect_runs(tmp_path)
    assert [row.seeds for row in found.directions[0].rows] == [[0]]
    assert "the same run as" in found.notes[0]


def test_runs_of_several_folders_are_one_set(tmp_path: Path) -> None:
    """A folder within another one, or given twice, adds nothing and is no copy."""
    make_run(tmp_path / "one", make_config(), 0, (1, 2, 3))
    path = make_run(tmp_path / "two", make_config(), 1, (1, 2, 3))
    (tmp_path / "three").mkdir()
    broken = tmp_path / "two" / "odd" / "seed-7"
    broken.mkdir(parents=True)
    folders = [tmp_path / name for name in ("one", "two", "three", "one")]
    found = collect_runs(*folders, path.parent)
    assert [row.seeds for row in found.directions[0].rows] == [[0, 1]]
    notes = [note.replace(f"{tmp_path}/", "") for note in found.notes]
    assert notes[0] == "two/odd/seed-7: broken, config.json: No such file or directory"
    assert notes[1] == "three: no run that no other folder has"
    assert len(notes) == 4


def test_predictions_must_bear_out_every_rule(tmp_path: Path) -> None:
    scores = {"im": (0.1, 0.9, 0.2)}
    paths = [make_run(tmp_path / n, make_config(), 0, (1, 5, 3), scores=scores) for n in "abcd"]
    texts = [(path / "predictions.csv").read_text() for path in paths]
    assert texts[0].startswith("video,label,last,oracle,im\n")
    (paths[0] / "predictions.csv").write_text(texts[0].replace("oracle,im", "oracle,other"))
    (paths[1] / "predictions.csv").write_text(texts[1].replace("00.avi,0,0,0,0", "00.avi,0,0,0,1"))
    (paths[2] / "predictions.csv").write_text(texts[2].replace("05.avi", "04.avi"))
    found = collect_runs(tmp_path)
    (row,) = found.directions[0].rows
    assert row.runs[0].predictions[4].chosen == {"last": 1, "oracle": 0, "im": 0}
    assert row.runs[0].scores("im") == [0.1, 0.9, 0.2]
    assert row.runs[0].scores("last") == [None] * 3
    lacking, wrong, twice = found.notes
    assert lacking.endswith("broken, predictions.csv lacks the column im")
    assert wrong.endswith("4 of 20 videos right by the rule im, result.json 5 of 20")
    assert twice.endswith("broken, predictions.csv names a video twice")


def test_runs_on_different_features_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path, make_config("source-only"), 0, (1, 2, 3))
    make_run(tmp_path, make_config("ta3n", manifest="f" * 64), 0, (1, 2, 3))
    message = "the manifest of hmdb51 is aaaaaaaaaaaa in .* but ffffffffffff"
    with pytest.raises(DataConflictError, match=message) as caught:
        collect_runs(tmp_path)
    assert "\n" not in str(caught.value)


def test_runs_tested_on_other_videos_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path, make_config("source-only"), 0, (1, 2, 3))
    path = make_run(tmp_path, make_config("ta3n"), 0, (1, 2, 3))
    text = (path / "predictions.csv").read_text()
    (path / "predictions.csv").write_text(text.replace("19.avi", "20.avi"))
    with pytest.raises(DataConflictError, match="what was tested of ucf-hmdb-small hmdb51 is"):
        collect_runs(tmp_path)


def test_nothing_to_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="is no folder"):
        collect_runs(tmp_path / "nowhere")
    with pytest.raises(DataMissingError, match="no finished run in"):
        collect_runs(tmp_path)
    (tmp_path / "seed-0").mkdir()
    with pytest.raises(DataMissingError, match="found: seed-0: broken"):
        collect_runs(tmp_path)


def test_collecting_needs_no_torch() -> None:
    code = "import sys, ta3n.train.report.data.collect; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert not {"torch", "matplotlib", "sklearn", "h5py"} & set(done.stdout.split())
