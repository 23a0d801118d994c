"""If this breaks, runs of an earlier version are lost, or an edited record is believed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import canonical_json, sha256_of
from ta3n.train.methods.registry import method_for, method_of
from ta3n.train.runs.records import read_config, read_run

from ...support.made_runs import make_config, make_run


def as_version_0_1(folder: Path) -> dict[str, Any]:
    """Write the record of a run as version 0.1 did; return it."""
    path = folder / "config.json"
    raw = json.loads(path.read_text())
    for key in ("identity", "label", "checksum", "hash"):
        del raw[key]
    seed, settings = raw.pop("seed"), raw["settings"]
    del settings["weights"], settings["published"]
    settings["method"] = {
        "name": "ta3n",
        "temporal": "relation",
        "discriminators": ["relation", "video", "frame"],
        "attention": "domain",
        "entropy": "attentive",
        "alignment": "none",
        "norm": "none",
        "trains_on": "source",
    }
    settings["adaptation"] = {
        "coefficients": {"relation": 0.75, "video": 0.75, "frame": 0.5},
        "gamma": 0.003,
        "alpha": 0.1,
        "mu": 1.0,
        "published": True,
    }
    record = {**raw, "seed": seed, "hash": sha256_of(canonical_json(raw))}
    path.write_text(json.dumps(record))
    return record


def test_a_run_of_version_0_1_is_read_as_what_it_is(tmp_path: Path) -> None:
    folder = make_run(tmp_path, make_config("ta3n"), 3, (1, 2, 3))
    record = as_version_0_1(folder)
    run = read_run(folder)
    assert (run.config.hash, run.seed) == (record["hash"], 3)
    assert method_of(run.config.settings["method"]) == method_for("ta3n", "relation")
    assert run.config.settings["weights"]["beta_frame"] == 0.5
    assert run.config.settings["published"]
    assert run.config.label == "TA3N"
    # Its rules could look at nothing else.
    assert run.config.settings["rules_on"] == "val"


def test_an_edited_record_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path, make_config("ta3n"), 0, (1, 2, 3))

    def edited(change: Callable[[dict[str, Any]], None]) -> None:
        path = folder / "config.json"
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))

    edited(lambda raw: raw["settings"].update(published=False))
    with pytest.raises(FeatureStoreError, match="does not match its own hash"):
        read_config(folder)
    as_version_0_1(make_run(tmp_path, make_config("ta3n"), 0, (1, 2, 3)))
    edited(lambda raw: raw["settings"]["adaptation"].update(gamma=0.3))
    with pytest.raises(FeatureStoreError, match="does not match its own hash"):
        read_config(folder)
