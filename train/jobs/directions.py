"""Every direction of a benchmark in one call: ordered pairs of its datasets, and their jobs."""

from collections.abc import Sequence
from itertools import permutations, product

from ta3n.common.errors import DataMissingError, UsageError, shorten
from ta3n.datasets.benchmarks.names import told_apart
from ta3n.datasets.catalogue import BUILT_IN_CATALOGUE, Catalogue
from ta3n.train.data.videos import DomainVideos
from ta3n.train.jobs.job import TrainingJob, prepare_jobs
from ta3n.train.jobs.settings import TrainSettings

Pair = tuple[str, str]
"""Full names of source and target."""

ALL = "all"
_MOST_NAMED = 12


def find_directions(text: str, benchmark: str | None, catalogue: Catalogue) -> list[Pair]:
    """Read `all`, or a list of directions such as `ucf-hmdb,hmdb-ucf`, of a benchmark.

    A dataset goes by its full or short name; what all names of the benchmark begin with may be
    left out, as in `a-b` for `synthetic-a` and `synthetic-b`.

    Raises:
        UsageError: If no benchmark is named, or it does not have a direction.
    """
    if benchmark is None:
        raise UsageError(
            "--directions are those of a benchmark; give --benchmark, such as "
            f"{shorten((each.name for each in catalogue.benchmarks), 3)}"
        )
    datasets = tuple(catalogue.benchmark(benchmark).sides)
    pairs = list(permutations(datasets, 2))
    if text.strip().lower() == ALL:
        return pairs
    rests = told_apart(datasets)
    names = {n: {n, catalogue.dataset(n).short_name, rests[n]} for n in datasets}
    known: dict[str, set[Pair]] = {}
    for source, target in pairs:
        for two in product(names[source], names[target]):
            known.setdefault("-".join(two).lower(), set()).add((source, target))
    found = []
    for word in (part.strip() for part in text.split(",")):
        meant = sorted(known.get(word.lower(), ()))
        if len(meant) != 1:
            shown = ["-".join(min(names[each], key=len) for each in pair) for pair in pairs]
            why = f"{word!r} {'may be several' if meant else 'is none'} of {benchmark}"
            if word.lower() in ("", ALL):
                why = f"{text!r} has {f'{ALL} beside others' if word else 'an empty part'}"
            raise UsageError(
                f"--directions {why}; give {ALL}, or some of {shorten(shown, _MOST_NAMED)}"
            )
        found += meant
    return list(dict.fromkeys(found))


def prepare_directions(
    pairs: Sequence[Pair], *variants: TrainSettings, catalogue: Catalogue = BUILT_IN_CATALOGUE
) -> list[list[TrainingJob]]:
    """Prepare the jobs of every direction, see `prepare_jobs`; each dataset is looked at once.

    Raises:
        As `prepare_jobs`; DataMissingError: Names everything that is missing in any direction, and
            the directions that can be trained without it.
    """
    if len(pairs) == 1:
        return [prepare_jobs(*pairs[0], *variants, catalogue=catalogue)]
    loaded: dict[object, DomainVideos] = {}
    prepared, lacking = [], dict[str, list[Pair]]()
    for pair in pairs:
        try:
            jobs = prepare_jobs(*pair, *variants, catalogue=catalogue, loaded=loaded)
        except DataMissingError as error:
            lacking.setdefault(str(error), []).append(pair)
        else:
            prepared.append(jobs)
    if lacking:
        without = {pair for each in lacking.values() for pair in each}
        left = [f"{source}-{target}" for source, target in pairs if (source, target) not in without]
        others = f"; --directions {','.join(left)} trains the others" if left else ""
        raise DataMissingError(
            f"{len(without)} of {len(pairs)} directions cannot be trained: {'; '.join(lacking)}"
            f"{others}"
        )
    return prepared
