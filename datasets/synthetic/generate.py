"""Write one domain of the synthetic benchmark as real video files with split lists.

The folder looks like any other dataset's:

    <Class>/v_<Class>_gGG_cCC.avi   (or .mp4)
    splits/trainlist01.txt, splits/testlist01.txt
    synthetic.json                  what the folder was made with
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib

from ta3n.common.device import allowed_cpus, leaving_interruption_here
from ta3n.common.errors import DataConflictError, UsageError
from ta3n.common.files import remove_stale_temporaries, replace_file, temporary_beside
from ta3n.common.video import write_video
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import Role
from ta3n.datasets.synthetic.dataset import MADE_WITH_NAME, read_made_with
from ta3n.datasets.synthetic.looks import LOOKS, Domain
from ta3n.datasets.synthetic.motions import MOTIONS
from ta3n.datasets.synthetic.render import draw_scene, render

# Raise it with every change of what a seed gives, be it a knob or the code that draws.
GENERATOR_VERSION = 2

CLIPS_PER_GROUP = 4
# Group numbers have two digits in the names, as UCF101's, and every other one is of this role.
_MAX_CLIPS_PER_CLASS = 49 * CLIPS_PER_GROUP


@dataclass(frozen=True, slots=True)
class ClipName:
    """One clip of a domain; together with the seed it says everything about the content.

    Attributes:
        motion: Index into `MOTIONS`.
        group: Number of the group, from 1; odd groups are tested on, even ones trained on.
        clip: Number within the group, from 1.
    """

    domain: Domain
    motion: int
    group: int
    clip: int

    @property
    def path(self) -> str:
        """Path within the dataset's folder, `<Class>/v_<Class>_gGG_cCC.<suffix>`."""
        name = MOTIONS[self.motion].name
        suffix = LOOKS[self.domain].suffix
        return f"{name}/v_{name}_g{self.group:02d}_c{self.clip:02d}{suffix}"


def clip_names(domain: Domain, role: Role, clips_per_class: int) -> Iterator[ClipName]:
    """Yield the clips of one role, class by class.

    Groups are numbered so that a clip's role and content do not depend on how many there are.
    """
    for motion in range(len(MOTIONS)):
        for index in range(clips_per_class):
            group, clip = divmod(index, CLIPS_PER_GROUP)
            yield ClipName(domain, motion, 2 * group + (2 if role == "train" else 1), clip + 1)


def write_clip(root: Path, name: ClipName, seed: int) -> None:
    """Render and encode one clip; it has its name when it is complete, and not before.

    Any number of jobs may write the same clip at once: they write the same bytes.

    Raises:
        OSError: The folder cannot be written.
    """
    path = root / name.path
    look, motion = LOOKS[name.domain], MOTIONS[name.motion]
    scene = draw_scene(seed, name.domain, motion, name.group, name.clip)
    with temporary_beside(path) as temporary:
        write_video(
            temporary,
            render(scene, motion, look),
            frame_rate=look.frame_rate,
            codec=look.codec,
            pixel_format=scene.size.pixel_format,
            options=look.codec_options,
            container_format=look.suffix[1:],
        )
        temporary.replace(path)


def generate(
    root: Path,
    *,
    domain: Domain,
    seed: int,
    clips_per_class_train: int = 40,
    clips_per_class_test: int = 20,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make a domain complete in `root`: write what is missing, leave what is there.

    Killed at any moment, the same call goes on where it stopped. The split lists come last, so
    a folder that has them is complete.

    Args:
        seed: What all content follows from, 0 or more.
        clips_per_class_test: Test clips of each class, of other groups than the training clips.
        jobs: Processes that render; None takes one for each CPU that this process may use.
        progress: Called after each clip with the clips that are there and those there shall be.

    Raises:
        UsageError: A seed, domain or count that makes no sense.
        DataConflictError: The folder was made with another seed, domain, count or generator.
        OSError: The folder cannot be written.
    """
    counts: dict[Role, int] = {"train": clips_per_class_train, "test": clips_per_class_test}
    _check(domain, seed, counts)
    _claim(root, domain, seed, counts)
    for motion in MOTIONS:
        remove_stale_temporaries(root / motion.name)
    clips = {role: list(clip_names(domain, role, count)) for role, count in counts.items()}
    wanted = [clip for of_role in clips.values() for clip in of_role]
    missing = [clip for clip in wanted if not (root / clip.path).is_file()]
    num_there = len(wanted) - len(missing)
    for num_written, _ in enumerate(_write(root, missing, seed, jobs), start=1):
        if progress is not None:
            progress(num_there + num_written, len(wanted))
    for role, of_role in clips.items():
        lines = "".join(f"{clip.path}\n" for clip in of_role)
        replace_file(root / "splits" / f"{role}list01.txt", lines.encode())


def _check(domain: str, seed: int, counts: dict[Role, int]) -> None:
    if domain not in LOOKS:
        raise UsageError(f"domain {domain!r} of the synthetic dataset is not one of {list(LOOKS)}")
    if seed < 0:
        raise UsageError(f"seed {seed} is below 0")
    for role, count in counts.items():
        if not 1 <= count <= _MAX_CLIPS_PER_CLASS:
            raise UsageError(
                f"clips_per_class_{role} is {count}, must be 1 to {_MAX_CLIPS_PER_CLASS}"
            )


def _claim(root: Path, domain: Domain, seed: int, counts: dict[Role, int]) -> None:
    """Record what the folder is made with before the first clip, or find that it fits."""
    record = {
        "generator_version": GENERATOR_VERSION,
        "domain": domain,
        "seed": seed,
        "clips_per_class": dict(counts),
    }
    made_with = read_made_with(root)
    if made_with is None:
        replace_file(root / MADE_WITH_NAME, f"{json.dumps(record, indent=2)}\n".encode())
        return
    for key, value in record.items():
        if made_with.get(key) != value:
            raise DataConflictError(
                f"{quoted(root)} was made with {key} {made_with.get(key)}, not {value}: "
                "choose another folder or remove this one"
            )


def _write(root: Path, clips: list[ClipName], seed: int, jobs: int | None) -> Iterator[None]:
    """Write clips in any order, yielding after each."""
    processes = min(allowed_cpus() if jobs is None else jobs, len(clips))
    if processes <= 1:
        for clip in clips:
            write_clip(root, clip, seed)
            yield
        return
    parallel = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")
    with leaving_interruption_here():
        written = parallel(joblib.delayed(write_clip)(root, clip, seed) for clip in clips)
    yield from written
