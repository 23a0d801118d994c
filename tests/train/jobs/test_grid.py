"""If this breaks, a search leaves out combinations, or searches what nobody asked for."""

from pathlib import Path

import pytest
from click import Context

from ta3n.common.errors import ConfigError, UsageError
from ta3n.train.cli import main
from ta3n.train.jobs.grid import grid_options, read_grid
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.methods.registry import default_weights


def written(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


def test_every_combination_comes_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    grid = read_grid(written(tmp_path, "gamma = [0.3, 0]\nbatch_size = [8, 16]\nmu = [-1]"))
    settings = grid.apply(TrainSettings(seeds="3", beta_video=0.5))
    assert [(s.gamma, s.batch_size, s.mu) for s in settings] == [
        (0.3, 8, -1),
        (0.3, 16, -1),
        (0, 8, -1),
        (0, 16, -1),
    ]
    assert all((s.seeds, s.beta_video) == ("3", 0.5) for s in settings)
    assert list(grid.combinations[0]) == ["gamma", "batch-size", "mu"]


def test_what_a_grid_varies_are_options_of_the_command() -> None:
    known = {name for option in main.get_params(Context(main)) for name in option.opts}
    known |= {f"--{name}" for name in default_weights()}  # by --weight NAME=VALUE
    assert {f"--{option.replace('-', '_')}" for option in grid_options()} <= {
        f"--{option.removeprefix('--').replace('-', '_')}" for option in known
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta-realtion = [1]", r"'beta-realtion' cannot be varied \(did you mean 'beta-relation'"),
        ("rows = ['table3']", "'rows' cannot be varied.*a grid may vary beta-relation"),
        ("gamma = 0.3", r"gamma = 0\.3 is no list of values, such as"),
        ("gamma = []", "is no list of values"),
        ("gamma = [1, 2, 1.0]", "has a value twice"),
        ("batch-size = [1]\nbatch_size = [2]", "an option twice, with - and with _"),
        ("", "varies nothing; write a line such as"),
        ("gamma = [", "cannot be read"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"grid\.toml.*{message}"):
        read_grid(written(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no grid file"):
        read_grid(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["gamma = [0.1, -1]", "mu = ['x']", "recipe = ['offical']"])
def test_refused_value_is_named_with_its_option(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"grid\.toml: {text.split(' =')[0]} = "):
        read_grid(written(tmp_path, text)).apply(TrainSettings())


def test_option_that_is_given_and_varied_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "beta-video = [1, 2]")
    with pytest.raises(UsageError, match=r"--beta-video is given, and .* varies it"):
        read_grid(path, ["beta_video"])


def test_grid_is_of_one_row(tmp_path: Path) -> None:
    grid = read_grid(written(tmp_path, "mu = [1, 2]"))
    with pytest.raises(UsageError, match="a grid is of one row or method, and 2 rows"):
        grid.apply(TrainSettings(rows=("table3/ta3n", "table3/ta2n")))
