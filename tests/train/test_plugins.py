"""A method and a temporal module of one's own are one file each, and everything knows them."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from ta3n.train.loop.engine import Trainer
from ta3n.train.report.figures.pictures import draw_pictures
from ta3n.train.report.tables.summary import main_finding
from ta3n.train.report.write import write_report
from ta3n.train.runs.records import read_run

from ..support.feature_folders import made_clips, make_features
from ..support.plugins import forgotten_afterwards
from ..support.small_runs import ta3n_train

TOY = """
import torch
from torch import nn
from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

def modules(spec):
    return {"toy": nn.Linear(spec.video_dim, 3)}

def start(begin):
    draws = torch.rand(3, generator=begin.generator)
    return {
        "centre": draws,
        "steps.done": torch.zeros((), dtype=torch.int64),
        "typical": torch.zeros(begin.model.spec.video_dim),
        "first": torch.zeros(2, begin.model.spec.num_classes),
    }

def each_epoch(context):
    if context.epoch == 1:  # a branch is allowed here
        assert not context.state["typical"].any()
    source, target = context.evaluation.source, context.evaluation.target
    assert len(source.features) == context.data.num_source
    typical = target.features[target.logits.max(dim=1).values.argmax()]
    return {"typical": typical, "first": torch.stack([source.logits[0], target.logits[0]])}

def loss(step):
    seen = step.model.extra["toy"](step.target_features - step.state["typical"])
    return (seen - step.state["centre"]).square().mean()

def after_step(context):
    output = context.evaluate()
    mean = context.model.extra["toy"](output.video_features[context.num_source:]).mean(dim=0)
    state = context.state
    return {"centre": 0.9 * state["centre"] + 0.1 * mean, "steps.done": state["steps.done"] + 1}

register_method(Method(
    name="toy", label="Toy", source="a test",
    terms=(Term(
        name="toy_loss", label="toy loss", loss=loss, modules=modules, start=start,
        after_step=after_step, each_epoch=each_epoch,
        weight=Weight(name="toy", default=0.5, about="of the toy", origin="chosen for a test"),
    ),),
))
"""

ENCODER = """
from torch import nn
from ta3n.train.encoders.registry import Encoder, register_encoder
from ta3n.train.layers.temporal import EncoderModule

class Attending(EncoderModule):
    def __init__(self, width):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, frames, domains):
        return (frames + self.attention(frames, frames, frames, need_weights=False)[0]).mean(dim=1)

register_encoder(Encoder(
    name="attending", label="Attending", source="a test",
    build=lambda spec: Attending(spec.hidden_dim),
))
"""


class Own:
    """The two files, features, and runs of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.files = (folder / "toy.py", folder / "attending.py")
        for file, text in zip(self.files, (TOY, ENCODER), strict=True):
            file.write_text(text)
        for seed, dataset in enumerate(("ucf101", "hmdb51")):
            make_features(folder / "features", dataset, made_clips(dataset), seed=seed)

    def train(self, out: Path, *more: object, epochs: int = 3) -> Result:
        plugins = [part for file in self.files for part in ("--plugin", file)]
        return ta3n_train(
            "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small",
            "--features", self.folder / "features", "--out", out, "--epochs", epochs,
            "--batch-size", 10, "--allow-missing", "--device", "cpu", *plugins, *more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """Return a method and a temporal module that are trained, beside source only."""
    with forgotten_afterwards():
        it = Own(tmp_path_factory.mktemp("own"))
        for more in (
            ("--method", "toy", "--temporal", "attending"),
            ("--method", "toy"),
            ("--method", "source-only"),
        ):
            result = it.train(it.runs, "--seeds", 2, *more)
            assert result.exit_code == 0, result.stderr
        yield it


def run_folder(runs: Path, method: str, seed: int = 0) -> Path:
    (found,) = runs.glob(f"*/*/{method}-*/seed-{seed}")
    return found


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    kept: Any = torch.load(folder / "weights.pt", weights_only=True)
    weights: dict[str, torch.Tensor] = kept["epochs"][kept["rules"]["last"]]
    return weights


def test_the_record_says_what_was_trained_and_training_moved_it(own: Own) -> None:
    run = read_run(run_folder(own.runs, "toy-attending"))
    assert (run.config.method, run.config.temporal, run.config.label) == ("toy", "attending", "Toy")
    assert run.config.settings["weights"] == {"toy": 0.5}
    losses = [epoch["losses"]["toy_loss"] for epoch in run.epochs]
    assert losses[-1] < losses[0]
    # What a term kept between steps is nothing that a finished run needs.
    assert not any(name.startswith("memory.") for name in weights_of(run.path))


@pytest.mark.parametrize("temporal", ["relation", "attending"])
def test_an_interrupted_run_goes_on_to_the_bit(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporal: str
) -> None:
    more = ("--method", "toy", "--temporal", temporal)
    begin = Trainer.begin_epoch

    def interrupted(trainer: Trainer) -> Any:
        if trainer.epoch == 2:
            raise KeyboardInterrupt
        return begin(trainer)

    monkeypatch.setattr(Trainer, "begin_epoch", interrupted)
    assert own.train(tmp_path, *more).exit_code == 75
    saved: Any = torch.load(
        run_folder(tmp_path, f"toy-{temporal}") / "checkpoint.pt", weights_only=True
    )
    steps = sum(record["steps"] for record in saved["trainer"]["history"])
    assert saved["trainer"]["model"]["memory.toy_loss/steps|done"] == steps > 0
    monkeypatch.setattr(Trainer, "begin_epoch", begin)
    result = own.train(tmp_path, *more)
    assert result.exit_code == 0, result.stderr
    assert "goes on after epoch 2" in result.stderr
    name = f"toy-{temporal}"
    ours, theirs = (weights_of(run_folder(runs, name)) for runs in (tmp_path, own.runs))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("temporal", ["relation", "attending"])
def test_seeds_are_stacked_and_side_by_side(own: Own, tmp_path: Path, temporal: str) -> None:
    for way in (("--stack", "on"), ("--jobs", 2)):
        out = tmp_path / way[0]
        result = own.train(out, "--seeds", 2, "--method", "toy", "--temporal", temporal, *way)
        assert result.exit_code == 0, result.stderr
        for seed in (0, 1):
            name = f"toy-{temporal}"
            ours, theirs = (weights_of(run_folder(runs, name, seed)) for runs in (out, own.runs))
            for key in ours:
                torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-6)


def test_it_is_listed_with_weight_and_source(own: Own) -> None:
    result = own.train(own.runs, "--list-methods")
    assert result.exit_code == 0
    assert "toy            Toy (a test)" in result.stdout
    assert "toy            0.5: of the toy" in result.stdout
    assert "attending      Attending (a test)" in result.stdout


def test_a_grid_varies_its_weight(own: Own, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("toy = [0.1, 1.0]\n")
    grid = ("--method", "toy", "--grid", tmp_path / "grid.toml")
    result = own.train(tmp_path / "runs", *grid, epochs=2)
    assert result.exit_code == 0, result.stderr
    assert "chosen by im: --weight toy=" in result.stdout
    assert len(list((tmp_path / "runs").glob("*/*/toy-*/seed-0/result.json"))) == 2
    twice = own.train(tmp_path / "runs", *grid, "--weight", "toy=0.3")
    assert twice.exit_code == 2
    assert "leave one of them out" in twice.stderr


def test_a_report_shows_it_under_its_label_without_the_plugin(own: Own, tmp_path: Path) -> None:
    with forgotten_afterwards():
        report = write_report([own.runs], tmp_path, features=None, command="x", pictures=False)
        (direction,) = report.contents.runs.directions
        labels = [row.label for row in direction.rows]
        assert labels == ["Source only, relation", "Toy, attending", "Toy, relation"]
        (table,) = [path for path in report.tables if path.name == "others.csv"]
        with table.open(newline="") as file:
            assert [row["method"] for row in csv.DictReader(file)].count("Toy") == 2
        pictures = draw_pictures(direction, None).pictures
        alts = [panel.alt for picture in pictures for panel in picture.panels]
        assert any("Toy, attending: last" in alt for alt in alts)
        (analysis,) = report.contents.analyses
        assert main_finding(analysis).startswith("Toy (")


def test_its_run_is_evaluated_with_its_plugin_alone(own: Own) -> None:
    run = run_folder(own.runs, "toy-attending")
    with forgotten_afterwards():
        line = (
            "--evaluate", run, "--target", "hmdb", "--features", own.folder / "features",
            "--allow-missing", "--device", "cpu",
        )  # fmt: skip
        refused = ta3n_train(*line)
        assert refused.exit_code == 2
        assert (
            "has the term 'toy_loss', which is not known here; give the plug-in" in refused.stderr
        )
        result = ta3n_train(*line, "--plugin", own.files[0], "--plugin", own.files[1])
    assert result.exit_code == 0, result.stderr
    last = read_run(run).result.rules["last"]
    assert f"{last.percent:.2f}" in result.stdout


def test_what_it_renews_each_epoch_must_have_been_laid_out(own: Own, tmp_path: Path) -> None:
    file = tmp_path / "toy.py"
    file.write_text(TOY.replace('{"typical": typical', '{"tipical": typical'))
    with forgotten_afterwards():
        result = ta3n_train(
            "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small",
            "--features", own.folder / "features", "--out", tmp_path, "--epochs", 1,
            "--batch-size", 10, "--allow-missing", "--plugin", file, "--method", "toy",
        )  # fmt: skip
    assert result.exit_code == 2
    assert "each_epoch returns toy_loss/tipical, which start did not lay out" in result.stderr


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_other_optimisers_resume_and_stack(own: Own, tmp_path: Path, optimizer: str) -> None:
    more = ("--method", "toy", "--optimizer", optimizer, "--schedule", "cosine",
            "--learning-rate", 0.001, "--seeds", 2)  # fmt: skip
    for name, way in (("apart", "off"), ("stacked", "on")):
        result = own.train(tmp_path / name, *more, "--stack", way)
        assert result.exit_code == 0, result.stderr
    for seed in (0, 1):
        ours, theirs = (
            weights_of(run_folder(tmp_path / name, "toy-relation", seed))
            for name in ("apart", "stacked")
        )
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "toi"), "did you mean 'toy'"),
        (("--method", "../toy.x"), "'../toy.x' is not known"),
        (("--method", "toy", "--weight", "toi=1"), "did you mean 'toy'"),
        (("--method", "dan", "--weight", "toy=1"), "no term of dan has the weight toy"),
        (("--method", "toy", "--weight", "toy=-1"), "it must be a number, 0 or above"),
        (("--method", "toy", "--weight", "toy"), "not NAME=VALUE"),
        (("--method", "dan", "--weight", "alpha=1", "--alpha", "2"), "alpha is given twice"),
        (("--method", "dan", "--alpha", "nan"), "should be a finite number"),
        (("--method", "dan", "--add", "target-only"), "they do not combine"),
        (("--plugin", "nowhere.py"), "'nowhere.py'] (command line): no plugin file"),
        (("--plugin", "no_such_module"), "No module named 'no_such_module'"),
        (("--method", "ta3n", "--temporal", "attending"), "choose the temporal module relation"),
    ],
)
def test_mistakes_are_told_in_one_line(own: Own, more: tuple[str, ...], message: str) -> None:
    result = own.train(own.runs, *more)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()[-1:]
    assert message in line


def test_two_of_one_name_are_refused(own: Own, tmp_path: Path) -> None:
    (tmp_path / "again.py").write_text(TOY)
    result = own.train(own.runs, "--plugin", tmp_path / "again.py")
    assert result.exit_code == 2
    assert "two terms 'toy_loss'" in result.stderr


def test_a_settings_file_names_a_plugin_beside_it(own: Own, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text('[train]\nplugins = ["toy.py"]\nmethod = "toy"\n')
    (tmp_path / "toy.py").write_text(TOY)
    with forgotten_afterwards():
        result = ta3n_train("--config", tmp_path / "pipeline.toml", "--list-methods")
        assert result.exit_code == 0, result.stderr
        assert "Toy (a test)" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "line 1: SyntaxError"),
        ("import torch\nraise ValueError('boo')", "line 2: ValueError: boo"),
        (TOY.replace('name="toy_loss"', 'name="total"'), "column 'total' of its own"),
        (
            TOY.replace('name="toy", default', 'name="toy-w", default'),
            "letters, digits and _ alone",
        ),
        (TOY.replace('"toy_loss", label', '"mine", reads=("lr",), label'), "reads lr, which no"),
        (
            TOY.replace('"toy_loss"', '"mine"').replace("default=0.5", "default=7.0"),
            "another weight",
        ),
    ],
)
def test_what_is_wrong_in_a_plugin_is_told_in_one_line(
    own: Own, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(text)
    result = own.train(own.runs, "--plugin", file)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()[-1:]
    assert message in line


def test_another_version_of_a_plugin_is_another_run(own: Own, tmp_path: Path) -> None:
    for text in (TOY, TOY.replace("0.9 *", "0.8 *")):
        (tmp_path / "toy.py").write_text(text)
        with forgotten_afterwards():
            result = ta3n_train(
                "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small",
                "--features", own.folder / "features", "--out", tmp_path / "runs", "--epochs", 1,
                "--allow-missing", "--device", "cpu", "--plugin", tmp_path / "toy.py",
                "--method", "toy",
            )  # fmt: skip
        assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "runs").glob("*/*/toy-*"))) == 2


def test_a_plugin_that_uses_a_term_of_ours_changes_no_run_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "reusing.py"
    file.write_text(
        "from ta3n.train.methods.adversarial import ADVERSARIAL\n"
        "from ta3n.train.methods.base import Method\n"
        "from ta3n.train.methods.registry import register_method\n"
        "register_method(Method(name='reusing', terms=(ADVERSARIAL['video'],)))\n"
    )
    code = (
        "import sys; from ta3n.common.registry import load_plugins; "
        "from ta3n.train.methods.registry import method_for, plugins_of; "
        "load_plugins(sys.argv[1:]); print(plugins_of(method_for('ta3n', 'relation')))"
    )
    # A process of its own: nothing of ours is imported before the plug-in.
    line = [sys.executable, "-P", "-c", code, str(file)]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "{}\n"


def test_a_grid_of_what_a_method_does_not_read_is_refused(own: Own, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("alpha = [0.1, 1.0]\n")
    result = own.train(tmp_path, "--method", "source-only", "--grid", tmp_path / "grid.toml")
    assert result.exit_code == 2
    assert "2 combinations come to 1 runs: source-only does not read all of alpha" in result.stderr


def test_the_command_line_wins_over_weights_of_a_file(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.toml"
    config.write_text("[train]\nweight = { alpha = 0.1, mu = 2 }\n")
    for line in (("--alpha", 0.5), ("--weight", "alpha=0.5")):
        result = ta3n_train("--config", config, *line, "--show-config")
        assert result.exit_code == 0, result.stderr
        shown = " ".join(result.stdout.split())
        assert "alpha = 0.5 # command line" in shown
        assert f"mu = 2.0 # {config}" in shown
