"""If this breaks, the page on own data shows tables that are refused."""

import re
from pathlib import Path

import pytest

from ta3n.common.settings import load_settings
from ta3n.datasets.catalogue import catalogue_of
from ta3n.datasets.custom.settings import DataSections

PAGE = Path(__file__).parents[3] / "docs" / "own-data.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_every_table_on_the_page_is_accepted(tmp_path: Path, number: int) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text(blocks("toml")[number])
    settings = load_settings(DataSections, file, {}).settings
    catalogue = catalogue_of(settings)
    assert settings.datasets
    for name in settings.datasets:
        assert catalogue.dataset(name).name == name
    for name in settings.benchmarks:
        assert len(catalogue.benchmark(name).sides) >= 2
