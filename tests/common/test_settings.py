"""If this breaks, a job runs with other settings than its user wrote down."""

import tomllib
from pathlib import Path

import pytest

from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.settings import Section, load_settings
from ta3n.extract.job.settings import ExtractSections, ExtractSettings
from ta3n.train.jobs.settings import TrainSections, TrainSettings, parse_seeds

REPOSITORY = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.toml"
    path.write_text(text)
    return path


def test_command_line_wins_over_file_over_default(tmp_path: Path) -> None:
    file = write(tmp_path, '[extract]\nbatch_size = 8\nbackbone = "resnet18"\n')
    resolved = load_settings(
        ExtractSections, file, {"extract.batch_size": 4, "extract.device": None}
    )
    assert resolved.settings.extract.batch_size == 4
    assert resolved.settings.extract.backbone == "resnet18"
    assert resolved.settings.extract.device == "auto"
    shown = resolved.describe().splitlines()
    origins = {line.split("=")[0].strip(): line.split("#")[-1].strip() for line in shown[1:]}
    assert origins["batch_size"] == "command line"
    assert origins["backbone"] == str(file)
    assert origins["device"] == "default"


def test_file_here_is_found_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(TrainSections, None, {}).settings == TrainSections()
    write(tmp_path, "[train]\nepochs = 3\n")
    assert load_settings(TrainSections, None, {}).settings.train.epochs == 3


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    text = '[data.hmdb51]\nroot = "videos"\nsplits = "/abs"\n[extract]\nout = "f"\n'
    settings = load_settings(ExtractSections, write(tmp_path, text), {}).settings
    assert settings.data["hmdb51"].root == tmp_path / "videos"
    assert settings.data["hmdb51"].splits == Path("/abs")
    assert settings.extract.out == tmp_path / "f"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[extract]\nbacbone = 'x'\n", "unknown key 'extract.bacbone' (did you mean 'backbone'?)"),
        ("[extrac]\n", "unknown key 'extrac' (did you mean 'extract'?)"),
        ("[data.ucf101]\nrot = 'x'\n", "unknown key 'data.ucf101.rot' (did you mean 'root'?)"),
        ("extract = 3\n", "'extract' must be a table"),
        ("[data]\nucf101 = 'x'\n", "'data.ucf101' must be a table"),
        ("[extract]\nbatch_size = 0\n", "extract.batch_size = 0"),
        ("[extract]\nframes = 'segment:5'\n", "use 'all', 'segments:K'"),
        ("[train]\nmethod = 'ta4n'\n", "train.method = 'ta4n'"),
        ("[train\n", "cannot be read"),
    ],
)
def test_mistakes_in_a_file_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(TrainSections if "[train" in text else ExtractSections, path, {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pipeline.toml" in str(caught.value)


def test_section_of_the_other_stage_is_left_to_it(tmp_path: Path) -> None:
    file = write(tmp_path, "[train]\nepocs = 3\n[extract]\nlimit = 2\n")
    assert load_settings(ExtractSections, file, {}).settings.extract.limit == 2
    with pytest.raises(ConfigError, match=r"train\.epocs"):
        load_settings(TrainSections, file, {})


def test_mistake_on_the_command_line_names_it() -> None:
    with pytest.raises(UsageError, match=r"extract.batch_size = 0 \(command line\)"):
        load_settings(ExtractSections, None, {"extract.batch_size": 0})


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no settings file"):
        load_settings(TrainSections, tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", (0,)), ("3", (0, 1, 2)), ("7,", (7,)), ("0,3", (0, 3)), ("1-3,9", (1, 2, 3, 9))],
)
def test_seeds(text: str, expected: tuple[int, ...]) -> None:
    assert parse_seeds(text) == expected


@pytest.mark.parametrize("text", ["0", "1,1", "5-3"])
def test_seeds_that_name_none_or_one_twice(text: str) -> None:
    with pytest.raises(UsageError, match="seeds"):
        parse_seeds(text)


def test_shipped_file_shows_every_setting_with_its_default() -> None:
    """The example in the repository can be trusted as a list of what can be set."""
    text = (REPOSITORY / "pipeline.toml").read_text()
    file = REPOSITORY / "pipeline.toml"
    extract = load_settings(ExtractSections, file, {}).settings.extract
    train = load_settings(TrainSections, file, {}).settings.train
    assert extract == ExtractSettings(out=REPOSITORY / "features")
    assert train == TrainSettings(features=(REPOSITORY / "features",), out=REPOSITORY / "runs")
    tree = tomllib.loads(text)
    sections: dict[str, type[Section]] = {"extract": ExtractSettings, "train": TrainSettings}
    for section, settings in sections.items():
        commented = {line.lstrip("# ").split(" =")[0] for line in text.splitlines() if " =" in line}
        assert set(settings.model_fields) <= set(tree[section]) | commented
