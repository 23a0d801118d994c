"""If this breaks, a whole benchmark is no longer one line, or lacks directions unnoticed."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.common.errors import UsageError
from ta3n.datasets.benchmarks.names import told_apart
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.datasets.catalogue import catalogue_of
from ta3n.datasets.custom.settings import DataSections
from ta3n.extract.features_cli import main as ta3n_features
from ta3n.train.jobs.directions import find_directions
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.jobs.switches import choose_methods

from ...support.epic import write_challenge
from ...support.feature_folders import made_clips, make_features
from ...support.small_runs import ta3n_train

DOMAINS = ("synthetic-a", "synthetic-b", "synthetic-c")


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return made-up features of three domains."""
    folder = tmp_path_factory.mktemp("domains")
    for seed, dataset in enumerate(DOMAINS):
        make_features(folder, dataset, made_clips(dataset, 1, 1), seed=seed)
    return folder


def train(features: Path, out: Path, *more: object) -> Result:
    line = ("--benchmark", "synthetic", "--features", features, "--out", out, "--epochs", 2)
    return ta3n_train(*line, "--batch-size", 4, "--device", "cpu", *more)


def results(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.with_name(name).read_bytes()
        for path in sorted(out.rglob("result.json"))
        for name in ("result.json", "predictions.csv", "metrics.jsonl")
    }


def test_all_directions_come_of_one_line_in_any_way_of_sharing(
    domains: Path, tmp_path: Path
) -> None:
    rows = ("--directions", "all", "--methods", "source-only,ta3n", "--seeds", 2)
    whole = train(domains, tmp_path / "whole", *rows)
    assert whole.exit_code == 0, whole.stderr
    assert "6 directions of 2 rows: 24 runs" in whole.stderr
    ours = results(tmp_path / "whole")
    assert len(ours) == 24
    assert {name.split("/")[1] for name in ours} == {
        f"{one}-{other}" for one in DOMAINS for other in DOMAINS if one != other
    }
    for share in range(3):
        done = train(domains, tmp_path / "shares", *rows, "--shard", f"{share}/3")
        assert done.exit_code == 0, done.stderr
        assert f"part {share}/3: 8 of 24 runs, of which 8 are to be trained" in done.stderr
    assert results(tmp_path / "shares") == ours
    # The last part prints the table of all.
    assert done.stdout == whole.stdout
    (agreed,) = (tmp_path / "shares" / "synthetic").glob("shares-*.json")
    assert json.loads(agreed.read_text()) == {"num_jobs": 3}
    refused = train(domains, tmp_path / "shares", *rows, "--shard", "0/2")
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_the_table_has_directions_across_and_their_mean(domains: Path, tmp_path: Path) -> None:
    line = ("--directions", "a-b,c-a", "--methods", "source-only,ta3n")
    result = train(domains, tmp_path, *line)
    assert result.exit_code == 0, result.stderr
    heading, *lines = [li for li in result.stdout.splitlines() if set(li) & set("┃│")]
    heads = [cell.strip() for cell in heading.split("┃")[4:-1]]
    assert heads == ["a → b", "c → a", "mean", "mean of classes"]
    rows = [[cell.strip() for cell in each.split("│")[1:-1]] for each in lines if "│" in each]
    assert len(rows) == 3 * 2, "last, im and oracle of two rows"
    for row in rows:
        assert float(row[5]) == pytest.approx((float(row[3]) + float(row[4])) / 2, abs=0.01)
        # Every class has one video.
        assert row[6] == row[5]
    # What the lines of a log are of stands before them.
    for name in ("source-only", "ta3n"):
        assert re.search(rf"{name}-\S+, synthetic-c → synthetic-a, seed", result.stderr)
    again = train(domains, tmp_path, *line)
    assert again.stdout == result.stdout
    assert "an epoch took" not in again.stderr


def test_a_dataset_has_other_classes_as_a_source_than_as_an_open_target(
    domains: Path, tmp_path: Path
) -> None:
    line = ("--directions", "all", "--method", "source-only", "--unknown", "Rise,Fall")
    result = train(domains, tmp_path, *line)
    assert result.exit_code == 0, result.stderr
    videos = [
        json.loads(path.read_text())["data"]["videos"]
        for path in tmp_path.rglob("config.json")
        if path.parents[2].name == "synthetic-b-synthetic-c"
    ]
    assert "synthetic-b as a source: 10 training and 10 validation videos" in result.stderr
    assert "synthetic-b as the target: 12 training and 12 validation videos" in result.stderr
    # Synthetic-b was a target before.
    assert [each["synthetic-b"]["train"] for each in videos] == [10]
    assert [each["synthetic-c"]["train"] for each in videos] == [12]
    assert not list(tmp_path.glob("synthetic"))
    heading = next(line for line in result.stdout.splitlines() if "┃" in line)
    assert [cell.strip() for cell in heading.split("┃")[-3:-1]] == ["mean of classes", "H-score"]
    again = train(domains, tmp_path, *line)
    assert again.stdout == result.stdout


def test_a_run_of_one_direction_is_not_trained_again_for_all(domains: Path, tmp_path: Path) -> None:
    one = ("--source", "synthetic-a", "--target", "synthetic-b", "--method", "source-only")
    assert train(domains, tmp_path, *one).exit_code == 0
    result = train(domains, tmp_path, "--directions", "a-b,b-a", "--method", "source-only")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("an epoch took") == 1
    assert "2 directions of 1 row: 2 runs" in result.stderr
    assert "2 of 2 runs of 1 row in 2 directions are done" in result.stderr
    assert "2 directions of synthetic: 1 row, recipe official" in result.stdout


def test_processes_side_by_side_share_all_directions(domains: Path, tmp_path: Path) -> None:
    line = ("--directions", "a-b,b-c", "--row", "table3/source-only/pooling", "--seeds", 2)
    result = train(domains, tmp_path, *line, "--jobs", 2)
    assert result.exit_code == 0, result.stderr
    assert "4 of 4: source-only" in result.stderr
    assert len(results(tmp_path)) == 4


def test_a_grid_is_chosen_in_each_direction(domains: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text("gamma = [0.003, 0.3]\n")
    result = train(domains, tmp_path / "runs", "--directions", "a-b,b-a", "--grid", grid)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("chosen by im: --gamma 0.") == 2
    files = sorted((tmp_path / "runs").rglob("grid-*.json"))
    assert [file.parent.name for file in files] == [
        "synthetic-a-synthetic-b", "synthetic-b-synthetic-a",
    ]  # fmt: skip


def test_what_is_missing_in_one_direction_is_told_before_any_is_trained(
    domains: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(domains, features)
    shutil.rmtree(features / "synthetic-c")
    result = train(features, tmp_path / "runs", "--directions", "all", "--method", "source-only")
    assert result.exit_code == 1
    (line,) = [each for each in result.stderr.splitlines() if "error" in each]
    assert "4 of 6 directions cannot be trained: no features of synthetic-c: no manifest" in line
    assert line.count("no features of") == 1
    assert line.endswith(
        "--directions synthetic-a-synthetic-b,synthetic-b-synthetic-a trains the others"
    )
    assert not (tmp_path / "runs").exists()


def test_directions_go_by_any_name_of_their_datasets() -> None:
    def found(text: str, benchmark: str) -> list[tuple[str, str]]:
        return find_directions(text, benchmark, catalogue_of(DataSections()))

    there, back = ("ucf101", "hmdb51"), ("hmdb51", "ucf101")
    assert found("all", "ucf-hmdb-small") == [there, back]
    assert found("HMDB51-ucf, ucf-hmdb,ucf101-hmdb51", "ucf-hmdb-full") == [back, there]
    assert found("d1-d2,epic-d2-epic55-d1", "epic55")[1] == ("epic55-d2", "epic55-d1")
    assert len(found("all", "daily-da")) == 12
    assert told_apart(["a-b", "a-c", "d"]) == {"a-b": "a-b", "a-c": "a-c", "d": "d"}
    assert told_apart(["a", "a-c"]) == {"a": "a", "a-c": "a-c"}
    with pytest.raises(UsageError, match=r"'a-d' is none of synthetic; give all, or some of a-b"):
        find_directions("a-d", "synthetic", BUILT_IN_CATALOGUE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("--directions", "all", "--target", "synthetic-a"), "leave out --source and --target"),
        (("--directions", "all", "--init-from", "runs/x"), "is of one direction"),
        (("--directions", "all", "--methods", "dan", "--method", "ta3n"), "rows of their own"),
        (("--directions", "all", "--methods", "taen"), "did you mean 'ta3n'"),
        (("--directions", "a-a"), "'a-a' is none of synthetic"),
        (("--directions", "all,a-b"), "'all,a-b' has all beside others; give all, or some of a-b"),
        (("--directions", "a-b,"), "'a-b,' has an empty part; give all, or some of a-b"),
        (("--evaluate", "run", "--directions", "all"), "--directions, --epochs out"),
    ],
)
def test_mistakes_are_told_in_one_line(
    domains: Path, tmp_path: Path, line: tuple[str, ...], message: str
) -> None:
    result = train(domains, tmp_path, *line)
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]


def test_without_a_benchmark_there_are_no_directions(domains: Path) -> None:
    result = ta3n_train("--directions", "all", "--features", domains)
    assert result.exit_code == 2
    assert "give --benchmark, such as ucf-hmdb-full" in result.stderr


def test_all_methods_are_those_that_have_a_source() -> None:
    names = [c.method.name for c in choose_methods(TrainSettings(methods=("all",)))]
    assert {"target-only", "ta3n", "mcc"} <= set(names)
    assert "shot" not in names
    assert len(set(names)) == len(names)


def test_a_direction_from_an_unlabelled_dataset_is_refused_and_the_others_are_named(
    tmp_path: Path,
) -> None:
    pickles, annotations = write_challenge(tmp_path)
    line = ("import", "--epic", pickles, "--annotations", annotations, "--out", tmp_path / "f")
    imported = CliRunner().invoke(ta3n_features, [str(word) for word in line])
    assert imported.exit_code == 0, imported.stderr
    where = ("--features", tmp_path / "f", "--out", tmp_path / "runs", "--epochs", 1)
    call = ("--benchmark", "epic100-final", *where, "--recipe", "epic100", "--device", "cpu")
    result = ta3n_train(*call, "--directions", "all")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    left = "epic100-source-epic100-target"
    assert "6 train videos of epic100-target have no labels" in result.stderr
    assert f"; --directions {left} trains the others" in result.stderr
    assert ta3n_train(*call, "--directions", left).exit_code == 0
