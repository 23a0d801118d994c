"""Video lists as the authors' program reads them, for features exported as they published theirs.

Their data reader (github.com/cmhungsteve/TA3N, `dataset.py`) takes a line of a list apart at every
blank into path, number of frames and label. It opens the frames as `img_00001.t7` and so on in that
path as it stands, from the folder in which the program runs. Labels count the lines of the class
file from 0; such a line is a number and a name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ta3n.common.errors import UsageError, shorten
from ta3n.common.log import LOGGER
from ta3n.common.records import ClipRecord
from ta3n.datasets.benchmarks.benchmark import BENCHMARK_ROLES, Benchmark
from ta3n.datasets.reading.folders import quoted


@dataclass(frozen=True, slots=True)
class AuthorsLists:
    """Lists of a dataset's clips.

    Attributes:
        paths: Of the folder of each clip's frames, by the clip's path.
        split: None takes each benchmark's.
    """

    clips: Sequence[ClipRecord]
    paths: Mapping[str, str]
    dataset: str
    split: str | None

    def of(self, benchmark: Benchmark) -> dict[str, str]:
        """Return the contents of both lists and of the class file of a benchmark, by file name.

        Clips that it leaves out are in no list. Classes without a clip are logged.

        Raises:
            UsageError: The benchmark does not hold the dataset, or has several heads, or a path
                has a blank in it, at which their reader would cut it off.
        """
        side = benchmark.side(self.dataset)
        if len(benchmark.heads) > 1:
            raise UsageError(
                f"{benchmark.name} has {len(benchmark.heads)} classes a clip, and the authors' "
                "lists hold one; name another benchmark"
            )
        split = self.split or benchmark.split_of(self.dataset)
        listed = [c for c in self.clips if c.class_name in side.labels and split in c.splits]
        for path in (self.paths[clip.path] for clip in listed):
            if path.split() != [path]:
                raise UsageError(
                    f"{quoted(path)} has a blank in it, at which the authors' program ends a path; "
                    "export to a folder without one, or rename the clip"
                )
        names = benchmark.class_names
        numbered = [f"{label} {name}\n" for label, name in enumerate(names)]
        files = {f"classInd_{benchmark.name}.txt": "".join(numbered)}
        for role, part in BENCHMARK_ROLES.items():
            clips = [(c, side.labels[c.class_name]) for c in listed if c.splits[split] == role]
            present = {label for _, label in clips}
            if lacking := [n for label, n in enumerate(names) if label not in present]:
                LOGGER.warning(
                    "%s: no %s clip of %s has features", benchmark.name, part, shorten(lacking)
                )
            lines = [f"{self.paths[clip.path]} {clip.length} {label}\n" for clip, label in clips]
            files[f"list_{self.dataset}_{part}_{benchmark.name}-feature.txt"] = "".join(lines)
        return files

    def of_all(self, benchmarks: Iterable[Benchmark]) -> dict[str, str]:
        """Return the same of all benchmarks of whose every class the dataset has a clip.

        What a list cannot hold is logged: nobody asked for it.
        """
        folders = {clip.class_name for clip in self.clips}
        files: dict[str, str] = {}
        one_head = (b for b in benchmarks if len(b.heads) == 1)
        for benchmark in (b for b in one_head if self.dataset in b.sides):
            labels = benchmark.sides[self.dataset].labels
            if {labels[name] for name in folders & labels.keys()} == set(labels.values()):
                try:
                    files |= self.of(benchmark)
                except UsageError as error:
                    LOGGER.warning("no lists of %s for their program: %s", benchmark.name, error)
        return files
