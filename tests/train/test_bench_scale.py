"""The benchmark of many videos and runs makes up what training and the report take."""

from pathlib import Path

from click.testing import CliRunner

from ta3n.train.bench_scale import NUM_SEGMENTS, _copy, make_features
from ta3n.train.cli import main
from ta3n.train.report.write import write_report


def test_made_up_features_are_trained_on_and_runs_are_rows_of_their_own(tmp_path: Path) -> None:
    num_bytes = make_features(tmp_path / "features", 140, 4)
    assert num_bytes == 140 * NUM_SEGMENTS * 4 * 4
    line = ["--source", "kg-kinetics", "--target", "kg-gameplay", "--device", "cpu"]
    line += ["--features", str(tmp_path / "features"), "--out", str(tmp_path / "run")]
    line += ["--method", "source-only", "--temporal", "pooling", "--epochs", "1"]
    result = CliRunner().invoke(main, [*line, "--allow-missing"])
    assert result.exit_code == 0, result.stderr
    (made,) = (path.parent for path in (tmp_path / "run").rglob("result.json"))
    for number in range(3):
        _copy(made, tmp_path / "runs", number)
    report = write_report(
        [tmp_path / "runs"], tmp_path / "report", features=None, command="", pictures=False
    )
    (direction,) = report.contents.runs.directions
    assert [len(row.runs) for row in direction.rows] == [1, 1, 1]
    assert (direction.source, direction.target) == ("kg-kinetics", "kg-gameplay")
