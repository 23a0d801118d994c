"""Run folders as training leaves them, with made-up figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ta3n.train.runs import RuleResult, RunConfig, RunFolder, RunResult

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
) -> RunConfig:
    """Return what a run is; `manifest` is the hash of the target's, instead of the usual one."""
    hashes = {name: _HASHES.get(name, "e" * 64) for name in (source, target)}
    return RunConfig(
        benchmark="ucf-hmdb-small",
        source=source,
        target=target,
        method=method,
        temporal=temporal,
        settings={
            "method": {"name": method, "temporal": temporal, "attention": "none"},
            "recipe": {
                "name": "official",
                "epochs": epochs,
                "source_batch": 8,
                "learning_rate": 0.03,
                "num_segments": 5,
            },
            "adaptation": {
                "coefficients": {"relation": 0.75, "video": 0.75, "frame": 0.5},
                "gamma": 0.003,
                "published": True,
            },
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


def make_run(
    out: Path, config: RunConfig, seed: int, corrects: Sequence[int], *, shift: int = 0
) -> Path:
    """Write a finished run whose epochs have so many of `TOTAL` videos right.

    Args:
        out: Folder for runs.
        config: What is run.
        seed: Of the run.
        corrects: For each epoch.
        shift: The last epoch is right on the videos from this one on, going round.
    """
    folder = RunFolder(config.folder(out, seed))
    best = max(corrects)
    folder.write_start(config, seed)
    folder.write_metrics([_epoch(n, correct) for n, correct in enumerate(corrects, start=1)])
    folder.write_predictions([_prediction(v, corrects[-1], best, shift) for v in range(TOTAL)])
    folder.write_environment("cpu", 1, 0.1)
    folder.write_result(
        RunResult(
            seed=seed,
            rules={
                "last": _rule(len(corrects), corrects[-1], oracle=False),
                "oracle": _rule(corrects.index(best) + 1, best, oracle=True),
            },
            target_label_reads=(len(corrects) + 1) * TOTAL,
            coverage={"source": (10, 10)},
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


def _epoch(number: int, correct: int) -> dict[str, Any]:
    losses = {"classification": 1 / number, "adversarial_frame": 0.69, "total": 1 / number + 0.69}
    return {"epoch": number, "losses": losses, "target_correct": correct, "target_total": TOTAL}


def _prediction(video: int, last: int, best: int, shift: int) -> dict[str, Any]:
    label = video % len(CLASSES)
    wrong = (label + 1) % len(CLASSES)
    right_at_last = (video - shift) % TOTAL < last
    return {
        "video": f"class/{video:02d}.avi",
        "label": label,
        "last": label if right_at_last else wrong,
        "oracle": label if video < best else wrong,
        "last_probability": 0.5,
    }


def _rule(epoch: int, correct: int, *, oracle: bool) -> RuleResult:
    return RuleResult(epoch=epoch, correct=correct, total=TOTAL, uses_target_labels=oracle)
