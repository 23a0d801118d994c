"""Fixtures for backbones."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the download cache at an empty folder and cut the network; return the folder."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"
