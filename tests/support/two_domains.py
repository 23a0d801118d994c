"""Videos of two small domains, `synthetic-a` and `synthetic-b`, in their layout."""

from pathlib import Path

from .videos import WriteClip

CLASSES = ("MoveLeft", "Rise")
_SUFFIX = {"a": ".avi", "b": ".mp4"}


def write_domain(root: Path, domain: str, write_clip: WriteClip) -> Path:
    """Write one training and one test clip of two classes, and the lists of the splits."""
    (root / "splits").mkdir(parents=True)
    for group, role in ((1, "train"), (2, "test")):
        clips = [f"{name}/v_{name}_g{group:02d}_c01{_SUFFIX[domain]}" for name in CLASSES]
        for number, clip in enumerate(clips):
            write_clip(root / clip, 8 + 3 * number + group, seed=5 * number + group)
        (root / "splits" / f"{role}list01.txt").write_text("".join(f"{c}\n" for c in clips))
    return root
