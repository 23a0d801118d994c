"""Run folders as training leaves them, with made-up figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import METHODS, method_for
from ta3n.train.runs.folder import RunConfig, RunFolder, RunResult
from ta3n.train.runs.selection import ChosenEpoch

CLASSES = ("golf", "pull <up>", "walk & run", "ride")
TOTAL = 20
_HASHES = {"ucf101": "b" * 64, "hmdb51": "a" * 64}


def make_config(
    method: str = "ta3n",
    temporal: str = "relation",
    *,
    source: str = "ucf101",
    target: str = "hmdb51",
    backbone: str = "resnet18",
    manifest: str | None = None,
    epochs: int = 3,
    benchmark: str = "ucf-hmdb-small",
    recipe: str = "official",
    switches: Method | None = None,
    label: str = "",
) -> RunConfig:
    """Return what a run is.

    Args:
        method: Its name; one that is known has its switches.
        temporal: Temporal module.
        source: Full name of the source dataset.
        target: Full name of the target dataset.
        backbone: Of the features.
        manifest: Hash of the target's manifest, instead of the usual one.
        epochs: Of the recipe.
        benchmark: Name.
        recipe: Name of the recipe.
        switches: Of the method, instead of those that its name stands for.
        label: What the method is called, where its name does not say it.
    """
    switches = switches or _known(method, temporal)
    record = (switches or Method(name=method, temporal=temporal)).record()
    if switches is None:
        record |= {"terms": [f"terms_of_{method}"], "uses_target": True}
    hashes = {name: _HASHES.get(name, "e" * 64) for name in (source, target)}
    return RunConfig(
        benchmark=benchmark,
        source=source,
        target=target,
        method=method,
        temporal=temporal,
        label=label or (record["label"] if method in METHODS.all() else method),
        identity={"method": method, **record, "recipe": [recipe, epochs]},
        settings={
            "method": record,
            "recipe": {
                "name": recipe,
                "epochs": epochs,
                "source_batch": 8,
                "learning_rate": 0.03,
                "num_segments": 5,
            },
            "weights": {
                "beta_relation": 0.75,
                "beta_video": 0.75,
                "beta_frame": 0.5,
                "gamma": 0.003,
            },
            "published": True,
            "classes": list(CLASSES),
        },
        data={
            "features": {
                "backbone": backbone,
                "weights": "imagenet1k_v1:net.pth",
                "profile": "ta3n",
                "image_size": 224,
                "frames": "segments:5",
                "feature_dim": 8,
            },
            "manifests": {**hashes, target: manifest or hashes[target]},
            "lists": hashes,
            "videos": {name: {"train": 10, "val": TOTAL} for name in (source, target)},
        },
    )


def _known(method: str, temporal: str) -> Method | None:
    module = "pooling" if temporal == "pooling" else "relation"
    return method_for(method, module) if method in METHODS.all() else None


def make_run(
    out: Path,
    config: RunConfig,
    seed: int,
    corrects: Sequence[int],
    *,
    shift: int = 0,
    scores: Mapping[str, Sequence[float]] | None = None,
    measured: Mapping[str, Sequence[Any]] | None = None,
    withheld: Mapping[str, Mapping[str, int]] | None = None,
) -> Path:
    """Write a finished run whose epochs have so many of `TOTAL` videos right.

    Args:
        out: Folder for runs.
        config: What is run.
        seed: Of the run.
        corrects: For each epoch.
        shift: The last epoch is right on the videos from this one on, going round.
        scores: Of label-free rules, for each epoch; each chooses where it is highest.
        withheld: In how many epochs rules had no score that means something, by reason.
        measured: More of what training measures by name, such as `attention`, for each epoch.
    """
    folder = RunFolder(config.folder(out, seed))
    scores = scores or {}
    chosen = {"last": len(corrects), "oracle": corrects.index(max(corrects)) + 1}
    chosen |= {rule: values.index(max(values)) + 1 for rule, values in scores.items()}
    rights = {rule: corrects[epoch - 1] for rule, epoch in chosen.items()}
    folder.write_start(config, seed)
    folder.write_metrics(
        [
            _epoch(n, correct, {rule: values[n - 1] for rule, values in scores.items()})
            | {name: values[n - 1] for name, values in (measured or {}).items()}
            for n, correct in enumerate(corrects, start=1)
        ]
    )
    folder.write_predictions([_prediction(v, rights, shift) for v in range(TOTAL)])
    folder.write_environment("cpu", 1, 0.1)
    folder.write_result(
        RunResult(
            seed=seed,
            rules={
                rule: _rule(epoch, rights[rule], oracle=rule == "oracle")
                for rule, epoch in chosen.items()
            },
            target_label_reads=(len(corrects) + 1) * TOTAL,
            coverage={"source": (10, 10)},
            withheld=withheld or {},
        )
    )
    return folder.path


def make_rows(out: Path, rows: Mapping[tuple[str, str], Sequence[int]], **config: Any) -> Path:
    """Write a row for each method and temporal module, with the last epoch's score by seed."""
    for (method, temporal), scores in rows.items():
        for seed, correct in enumerate(scores):
            row = make_config(method, temporal, **config)
            make_run(out, row, seed, (1, min(correct + 1, TOTAL), correct))
    return out


def _epoch(number: int, correct: int, scores: Mapping[str, float]) -> dict[str, Any]:
    losses = {"classification": 1 / number, "adversarial_frame": 0.69, "total": 1 / number + 0.69}
    return {
        "epoch": number,
        "losses": losses,
        "target_correct": correct,
        "target_total": TOTAL,
        "validators": dict(scores),
    }


def _prediction(video: int, rights: Mapping[str, int], shift: int) -> dict[str, Any]:
    """Return a line: the last epoch is right on videos from `shift` on, others from the first."""
    label = video % len(CLASSES)
    wrong = (label + 1) % len(CLASSES)
    places = {rule: (video - shift) % TOTAL if rule == "last" else video for rule in rights}
    said = {rule: label if places[rule] < right else wrong for rule, right in rights.items()}
    return {"video": f"class/{video:02d}.avi", "label": label, **said}


def _rule(epoch: int, correct: int, *, oracle: bool) -> ChosenEpoch:
    return ChosenEpoch(epoch=epoch, correct=correct, total=TOTAL, uses_target_labels=oracle)
