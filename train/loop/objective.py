"""What a step minimises: classification and the terms of a method, update by update.

Shapes: B_S source and B_T target videos, the source first; see `model/model.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ta3n.common.errors import TrainingError
from ta3n.train.layers.domains import by_domain
from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.layers.reversal import Coefficient, Coefficients
from ta3n.train.loop.batches import Batch, TrainingData
from ta3n.train.loop.measurements import SOURCE_ACCURACY, Measured, measure
from ta3n.train.methods.base import JOINT, Method, Term, Update
from ta3n.train.methods.heads import ClassHead, columns_of, shares_of
from ta3n.train.model.model import TA3N, ModelOutput
from ta3n.train.model.prediction import NO_REVERSAL, Observation, observe
from ta3n.train.recipe.recipes import Recipe

Losses = dict[str, Tensor]
Weights = Mapping[str, Coefficient]
"""The weights in force at one step by name: numbers or 0-d tensors, never a ramp."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised, step by step.

    Args:
        method: which terms the objective has.
        recipe: how discrepancies are measured, and in how many updates MCD is made.
        heads: where there are several.
    """

    method: Method
    recipe: Recipe
    heads: tuple[ClassHead, ...] = ()

    @property
    def updates(self) -> tuple[Update, ...]:
        """The updates of a step in their order; none moves a head that is not trained."""
        updates = self.method.updates(self.recipe)
        untrained = tuple(f"video_classifier.{h.name}." for h in self.heads if not h.weight)
        if not untrained:
            return updates
        # The logits of all heads are one tensor: zeros would arrive, and with them the decay.
        return tuple(replace(update, moves=_but(untrained, update.moves)) for update in updates)


def _but(prefixes: tuple[str, ...], moves: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda parameter: moves(parameter) and not parameter.startswith(prefixes)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a term may know when it lays out what it keeps between steps.

    Args:
        model: as it starts.
        num_source: source training videos.
        num_target: target training videos, 0 without a target.
        generator: CPU generator of the run for this purpose.
    """

    model: TA3N
    num_source: int
    num_target: int
    generator: torch.Generator


class TrainingEvaluation:
    """The model on all training videos of both domains, run when it is asked for.

    Args:
        model: with the weights of one run.
        data: in the order that `source_indices` and `target_indices` of a batch refer to.
    """

    _AT_ONCE = 256

    def __init__(self, model: TA3N, data: TrainingData) -> None:
        self._model = model
        self._data = data

    @cached_property
    def source(self) -> Observation:
        """Of the source, N = N_S."""
        return observe(self._model, self._data.source_features, self._AT_ONCE, are_source=True)

    @cached_property
    def target(self) -> Observation:
        """Of the target, N = N_T.

        Raises:
            TrainingError: where there is none.
        """
        if self._data.target_features is None:
            raise TrainingError("there are no target videos to evaluate")
        return observe(self._model, self._data.target_features, self._AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class TermContext:
    """What a term sees whenever it is asked.

    Args:
        model: with the weights of the run.
        method: which is trained.
        recipe: the hyper-parameters.
        term: whose state `state` is.
    """

    model: TA3N
    method: Method
    recipe: Recipe
    term: str = ""

    @property
    def state(self) -> dict[str, Tensor]:
        """What the term keeps between steps, by name."""
        return self.model.state_of(self.term)


@dataclass(frozen=True, kw_only=True)
class EpochContext(TermContext):
    """What a term sees before the first step of an epoch.

    Args:
        data: the training videos, and the labels of the source.
        evaluation: the model on them.
        epoch: of the recipe's, from 1.
    """

    data: TrainingData
    evaluation: TrainingEvaluation
    epoch: int


@dataclass(frozen=True, kw_only=True)
class StepContext(TermContext):
    """What a term sees of a step: that of one run, also where several seeds are stacked.

    In `after_step` the model has its weights after the update.

    Args:
        batch: the videos, the labels of the source, and the places of both in the training data.
        head: the one of several heads whose logits and labels are seen; none for all.
    """

    batch: Batch
    head: str | None = None

    @property
    def classifier(self) -> nn.Linear:
        """The layer that makes class logits of video features, of the head that is seen."""
        return self.model.classifier(self.head)

    @property
    def labels(self) -> Tensor:
        """Of the source videos, int64 [B_S]; of all heads [B_S, H]."""
        return self.batch.source_labels

    def evaluate(
        self, weights: Mapping[str, Tensor] | None = None, *, target_only: bool = False
    ) -> ModelOutput:
        """Run the model on the batch without dropout, source first.

        Args:
            weights: to take the place of the model's own, by name of the parameter.
            target_only: leave the source out.

        Raises:
            TrainingError: where there is no target to run on alone.
        """
        features, sizes = step_features(self.batch, self.method), {"num_source": self.num_source}
        if target_only:
            if self.batch.target_features is None:
                raise TrainingError("there are no target videos to evaluate")
            features, sizes = self.batch.target_features, {"num_source": 0}
        was_training = self.model.training
        self.model.eval()
        try:
            arguments = (features, NO_REVERSAL)
            output: ModelOutput = functional_call(self.model, dict(weights or {}), arguments, sizes)
            return self._seen(output)
        finally:
            self.model.train(was_training)

    def _seen(self, output: ModelOutput) -> ModelOutput:
        """Return an output with the logits of the head that is seen."""
        if self.head is None:
            return output
        columns = columns_of(self.model.spec.heads)[self.head]
        seen = replace(output, logits=output.logits[:, columns])
        if output.stream_logits is None:
            return seen
        return replace(seen, stream_logits=output.stream_logits[..., columns])

    @torch.no_grad()
    def evaluate_target(self, weights: Mapping[str, Tensor] | None = None) -> Observation:
        """Return what `evaluate` makes of the target, without gradient."""
        output = self.evaluate(weights, target_only=True)
        return Observation(logits=output.logits, features=output.video_features)

    @property
    def num_source(self) -> int:
        """B_S: so many rows of the output are source videos, the others target videos."""
        return len(self.labels)

    @property
    def target_places(self) -> Tensor:
        """Of the target videos of the batch in the training data, int64 [B_T]."""
        places = self.batch.target_indices
        assert places is not None, "the target takes part"
        return places


@dataclass(frozen=True, kw_only=True)
class Step(StepContext):
    """What the loss of a term sees beside: the model's output on the batch, with dropout.

    Args:
        output: of the model on source and target, see `step_features`.
        weights: in force at this step, by name.
    """

    output: ModelOutput
    weights: Weights

    @property
    def source_logits(self) -> Tensor:
        """Class logits of the source, [B_S, C]."""
        return self.output.logits[: self.num_source]

    @property
    def target_logits(self) -> Tensor:
        """Class logits of the target, [B_T, C]."""
        return self.output.logits[self.num_source :]

    @property
    def source_features(self) -> Tensor:
        """Video features of the source before dropout, [B_S, V]."""
        return self.output.video_features[: self.num_source]

    @property
    def target_features(self) -> Tensor:
        """Video features of the target before dropout, [B_T, V]."""
        return self.output.video_features[self.num_source :]

    @property
    def num_sources(self) -> int:
        """How many sources are domains of their own; 1 where all count as one."""
        return self.model.spec.num_domains - 1

    def by_domain(self, rows: Tensor) -> list[Tensor]:
        """Split rows of the output, [B_S + B_T, ...], by domain: each source, the target last."""
        return by_domain(rows, self.num_source, self.model.spec.num_domains)

    def of_source(self, number: int) -> "Step":
        """Return the step as it is with one of several sources, from 0, and the target alone."""

        def rows(values: Tensor) -> Tensor:
            parts = self.by_domain(values)
            return torch.cat([parts[number], parts[-1]])

        def source_rows(values: Tensor) -> Tensor:
            return self.by_domain(values)[number]

        batch, output = self.batch, self.output
        indices, streams = batch.source_indices, output.stream_logits
        return replace(
            self,
            batch=replace(
                batch,
                source_features=source_rows(batch.source_features),
                source_labels=source_rows(batch.source_labels),
                source_indices=None if indices is None else source_rows(indices),
            ),
            output=replace(
                output,
                logits=rows(output.logits),
                video_features=rows(output.video_features),
                classified=rows(output.classified),
                parts=None if output.parts is None else rows(output.parts),
                # Without discriminators: they know the other sources too.
                domain_logits={},
                attention=None if output.attention is None else rows(output.attention),
                second_logits=None if output.second_logits is None else rows(output.second_logits),
                stream_logits=None
                if streams is None
                else torch.stack([rows(each) for each in streams.unbind()]),
            ),
        )

    def of_head(self, head: str) -> "Step":
        """Return the step as it is with one of several heads alone."""
        place = [each.name for each in self.model.spec.heads].index(head)
        batch = replace(self.batch, source_labels=self.batch.source_labels[:, place])
        seen = replace(self, batch=batch, head=head)
        return replace(seen, output=seen._seen(self.output))

    def stream_classification(self) -> Tensor:
        """Return the sum of the classification losses of the streams, each by its own logits."""
        logits = self.output.stream_logits
        assert logits is not None, "streams have encoders of their own"
        losses = [F.cross_entropy(each[: self.num_source], self.labels) for each in logits]
        return torch.stack(losses).sum()

    def classification(self) -> Tensor:
        """Return the classification loss on the source, of both classifiers if there are two."""
        loss = F.cross_entropy(self.source_logits, self.labels)
        if self.output.second_logits is not None:
            second = self.output.second_logits[: self.num_source]
            loss = loss + F.cross_entropy(second, self.labels)
        return loss


class UpdateResult(NamedTuple):
    """What an update of a step yields: a tuple, so that it passes through `vmap`.

    Attributes:
        statistics: of normalised layers, by name.
        measured: of `measure`, for the joint update; without a graph.
    """

    losses: Losses
    statistics: dict[str, Tensor]
    measured: Measured


def step_features(batch: Batch, method: Method) -> Tensor:
    """Return the videos that a step runs on: source, then target if the method uses it.

    Returns:
        [B_S (+ B_T), K, D]. The target is left out entirely where no loss needs it, so that it
        cannot influence such a run.
    """
    if not method.uses_target or batch.target_features is None:
        return batch.source_features
    return torch.cat([batch.source_features, batch.target_features])


def run_update(
    model: TA3N,
    batch: Batch,
    masks: DropoutMasks | None,
    *,
    objective: Objective,
    weights: Weights,
    update: Update = JOINT,
) -> UpdateResult:
    """Run the model on a batch, and measure what an update minimises.

    Args:
        model: with the weights of one run.
        batch: videos of this step.
        masks: dropout masks for `step_features`, or none for no dropout.
        weights: in force at this step.
    """
    method = objective.method
    output = model(
        step_features(batch, method),
        reversal_coefficients(weights),
        masks=masks,
        levels=method.levels if update.is_joint else (),
        num_source=len(batch.source_labels),
    )
    step = Step(
        model=model,
        batch=batch,
        method=method,
        recipe=objective.recipe,
        output=output,
        weights=weights,
    )
    losses = compute_losses(step, update)
    placed = method.discriminators
    measured = measure(output, step.num_source, placed) if update.is_joint else {}
    if update.is_joint and method.trains_on != "nothing":
        measured[SOURCE_ACCURACY] = _accuracy(step)
    return UpdateResult(losses, output.statistics, measured)


def _accuracy(step: Step) -> Tensor:
    """Return the share of the learned videos of a step that all trained heads tell, 0-d."""
    logits, labels, heads = step.source_logits.detach(), step.labels, step.model.spec.heads
    if not heads:
        told = logits.argmax(dim=-1) == labels
    else:
        columns = columns_of(heads)
        told = torch.stack(
            [
                logits[:, columns[head.name]].argmax(dim=-1) == labels[:, place]
                for place, head in enumerate(heads)
                if head.weight
            ]
        ).all(dim=0)
    return told.to(logits.dtype).mean()


def next_states(
    model: TA3N, batch: Batch, _masks: DropoutMasks | None, *, objective: Objective
) -> dict[str, Tensor]:
    """Return what the terms of one run keep after a step, by the name of the model's buffer."""
    context = StepContext(
        model=model, batch=batch, method=objective.method, recipe=objective.recipe
    )
    return {
        model.state_name(term.name, name): value
        for term in objective.method.terms
        if term.after_step is not None
        for name, value in term.after_step(replace(context, term=term.name)).items()
    }


def renew_states(model: TA3N, data: TrainingData, *, objective: Objective, epoch: int) -> None:
    """Let the terms of one run renew what they keep, before the first step of an epoch.

    Raises:
        UsageError: for a tensor that the term did not lay out at the start.
    """
    context = EpochContext(
        model=model,
        data=data,
        evaluation=TrainingEvaluation(model, data),
        method=objective.method,
        recipe=objective.recipe,
        epoch=epoch,
    )
    for term in objective.method.terms:
        if term.each_epoch is not None:
            with torch.no_grad():
                renewed = term.each_epoch(replace(context, term=term.name))
            model.renew_state(term.name, renewed)


def reversal_coefficients(weights: Weights) -> Coefficients:
    """Return the reversal coefficients among the weights; a level that has none is not judged."""
    return Coefficients(
        relation=weights.get("beta_relation", 0.0),
        video=weights.get("beta_video", 0.0),
        frame=weights.get("beta_frame", 0.0),
        encoder=weights.get("beta_encoder", 0.0),
    )


def over_heads(loss: Callable[[Step], Tensor | None], step: Step) -> Tensor | None:
    """Return a loss, of several heads the mean over those that are trained, with their shares."""
    if not step.model.spec.heads:
        return loss(step)
    total: Tensor | None = None
    for head, share in shares_of(step.model.spec.heads).items():
        part = loss(step.of_head(head))
        if part is not None:
            total = share * part if total is None else total + share * part
    return total


def _loss_of(term: Term, step: Step) -> Tensor | None:
    if term.loss is None:
        return None
    loss = term.loss if term.with_heads == "once" else partial(over_heads, term.loss)
    if term.sources == "pairs" and step.num_sources > 1:
        each = [loss(step.of_source(number)) for number in range(step.num_sources)]
        there = [value for value in each if value is not None]
        return torch.stack(there).mean(dim=0) if there else None
    return loss(step)


def compute_losses(step: Step, update: Update = JOINT) -> Losses:
    """Return every loss of an update, and their weighted `total`, which is what it minimises.

    Args:
        step: the model's output, and the weights of the terms.

    Returns:
        0-d tensors before their weights, and only what was computed. For the joint update:
        `classification` (of both classifiers with MCD; none in source-free adaptation), and the
        loss of each term by its name.
    """
    if update.losses is not None:
        return update.losses(replace(step, term=update.term))
    losses = {}
    total = step.output.logits.new_zeros(())
    if step.method.trains_on != "nothing":
        classification = over_heads(Step.classification, step)
        assert classification is not None, "every head has one"
        total = losses["classification"] = classification
        if step.recipe.stream_loss:
            streams = over_heads(Step.stream_classification, step)
            assert streams is not None, "every head has one"
            losses["streams"] = streams
            total = total + step.recipe.stream_loss * streams
    for term in step.method.terms:
        loss = _loss_of(term, replace(step, term=term.name))
        if loss is None:
            continue
        losses[term.name] = loss
        if term.weight is not None and term.scales == "loss":
            loss = step.weights[term.weight.name] * loss
        total = total + loss
    return {**losses, "total": total}
