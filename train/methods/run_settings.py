"""What a run is told to do, and what makes two runs one. No torch here.

Shapes: C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from ta3n.common.errors import UsageError
from ta3n.train.methods.base import Method
from ta3n.train.methods.heads import ClassHead, heads_record
from ta3n.train.methods.rejection import Rejection
from ta3n.train.recipe.recipes import OFFICIAL, PAPER, RECIPES, Recipe
from ta3n.train.recipe.schedule import target_batch_size

Domains = Literal["one", "each"]

_OF_SOME = frozenset(
    {
        "adam_beta2",
        "bandwidth_floor",
        "batches",
        "joint_input",
        "lr_decay_power",
        "lr_decay_rate",
        "lr_steps",
        "max_subsets",
        "mcd",
        "mcd_generator_updates",
        "mcd_rate",
        "mmd_estimator",
        "nesterov",
        "norm_layers",
        "norm_momentum",
        "ramp",
        "relation_dim",
        "reversal_ramp",
    }
)
"""Fields of a recipe that matter to some methods only; every other one matters to all."""


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """The finished runs whose weights runs start from.

    Args:
        path: a run's folder, or that of all its seeds.
        config_hash: of the configuration there.
        seed: of the one run that all seeds start from; none where each starts from its own.
    """

    path: Path
    config_hash: str
    seed: int | None = None

    def of(self, seed: int) -> Path:
        """Return the folder of the run that a seed starts from."""
        return self.path if self.seed is not None else self.path / f"seed-{seed}"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """All that decides a run apart from its data.

    Args:
        method: with its temporal module.
        recipe: the hyper-parameters.
        weights: of the method's terms, by name; a negative one means the DANN ramp.
        num_classes: C, with several heads the sum of theirs.
        seed: the run's seed.
        init_from: whose weights it starts from; none where the seed draws all of them.
        heads: where there are several.
        stream_dims: widths of the streams of features that have an encoder each; none where they
            share one.
        stream_widths: widths of all streams, where features are scaled each by itself.
        domains: whether several sources are `one` domain to discriminators and discrepancies, or
            `each` is one of its own.
        rejection: how unknown videos of an open target are told; none for a closed set. It is no
            part of training.
    """

    method: Method
    recipe: Recipe
    weights: Mapping[str, float]
    num_classes: int
    seed: int
    init_from: StartingPoint | None = None
    heads: tuple[ClassHead, ...] = ()
    stream_dims: tuple[int, ...] = ()
    stream_widths: tuple[int, ...] = ()
    domains: Domains = "one"
    rejection: Rejection | None = None

    @property
    def fields_read(self) -> tuple[str, ...]:
        """The fields of the recipe that decide what the method comes to."""
        recipe = self.recipe
        if self.method.closed_form is not None:
            return ("num_segments", "views")
        read = {field.name for field in fields(Recipe)} - _OF_SOME - {"name"}
        read |= set(self.method.reads)
        read |= {"nesterov"} if recipe.optimizer == "sgd" else {"adam_beta2"}
        read |= {"lr_decay_power", "lr_decay_rate"} if recipe.schedule == "inverse" else set()
        read |= {"lr_steps"} if recipe.schedule == "steps" else set()
        read |= {"ramp"} if any(weight < 0 for weight in self.weights.values()) else set()
        read |= (
            {"reversal_ramp"} if any(name.startswith("beta_") for name in self.weights) else set()
        )
        return tuple(field.name for field in fields(Recipe) if field.name in read)

    def check_batches(self, source_sizes: Sequence[int], num_target: int) -> None:
        """Refuse batches that are all too small for a term, which would do nothing, or harm.

        Args:
            source_sizes: training videos of each source.
            num_target: of the target.

        Raises:
            UsageError: for a term that needs more videos of a domain in a batch.
        """
        batch, num_source = self.recipe.source_batch, sum(source_sizes)
        parts = len(source_sizes) if self.domains == "each" else 1
        of_target = target_batch_size(batch, num_source, num_target)
        held = {
            "source": min(batch, num_source) // parts,
            "target": min(of_target, num_target),
        }
        in_all = {"source": num_source // parts, "target": num_target}
        for term in self.method.terms:
            needed = {"source": term.uses_source, "target": term.uses_target}
            for domain in needed:
                if not needed[domain] or held[domain] >= term.fewest:
                    continue
                needs = f"{self.method.name}: {term.label} needs {term.fewest} {domain} videos"
                needs += " in a batch"
                if in_all[domain] < term.fewest:
                    raise UsageError(
                        f"{needs}, and there are {in_all[domain]} in all; leave it out"
                    )
                # The target has floor(B N_T / N_S) videos in a batch.
                least = max(term.fewest * parts, -(-term.fewest * num_source // num_target))
                raise UsageError(
                    f"{needs}, and one of size {batch} has {held[domain]}; set --batch-size to "
                    f"{least} at least"
                )

    @property
    def optimisation(self) -> Recipe:
        """The recipe with the rate at which the weights of the method move."""
        recipe = self.recipe
        steps_of_mcd = recipe.mcd == "three" and "mcd_rate" in self.method.reads
        share = recipe.mcd_rate if steps_of_mcd else 1.0
        return replace(recipe, learning_rate=share * recipe.learning_rate)

    def as_usual(self) -> "RunSettings":
        """Return the settings with what the method does not read as it usually is.

        Where a method reads nothing in which the recipes differ, such as source only, its recipe is
        `official`.
        """
        read = self.fields_read
        usual = RECIPES.get(self.recipe.name, OFFICIAL)
        others = (PAPER, usual)
        if all(getattr(OFFICIAL, name) == getattr(o, name) for o in others for name in read):
            usual = OFFICIAL
        recipe = replace(usual, **{name: getattr(self.recipe, name) for name in read})
        if self.method.closed_form is not None:
            recipe = replace(recipe, epochs=1)
        domains = self.domains if self.method.telling_sources else "one"
        return replace(self, recipe=recipe, domains=domains)

    def identity(self) -> dict[str, Any]:
        """Return what a run is hashed by, beside its seed, data and classes.

        A field of the recipe is left out where it has its default, so that a new field changes no
        hash. A weight is always there: a term's default may be chosen anew.
        """
        defaults = {field.name: field.default for field in fields(Recipe)}
        values = {name: getattr(self.recipe, name) for name in self.fields_read}
        changed = {name: value for name, value in values.items() if value != defaults[name]}
        keys = ("terms", "temporal", "trains_on", "closed_form")
        made_of = {key: value for key, value in self.method.record().items() if key in keys}
        identity = {**made_of, "recipe": changed, "weights": dict(self.weights)}
        if self.heads:
            identity["heads"] = heads_record(self.heads)
        if self.domains != "one":
            identity["domains"] = self.domains
        if self.init_from is not None:
            start = self.init_from
            identity["init_from"] = {"config": start.config_hash, "seed": start.seed}
        return identity
