"""A closed form as a run of one epoch, in which everything is fitted, on a CPU."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch

from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.checks import check_same_run, check_trainable, identity_of
from ta3n.train.loop.measurements import EpochRecord
from ta3n.train.methods.closed_form import fit
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.prediction import BATCH_SIZE, observe
from ta3n.train.model.videos import batches_of


class ClosedFormTrainer:
    """A run of a method without epochs, used as a `Trainer` is.

    Args:
        settings: of a method with a closed form.
        data: of both domains.
        device: where the model is evaluated.

    Attributes:
        history: empty, or the one record.

    Raises:
        TrainingError: if the data cannot be used.
    """

    def __init__(
        self, settings: RunSettings, data: TrainingData, *, device: torch.device | None = None
    ) -> None:
        check_trainable(settings, data)
        self.settings = settings
        self.data = data
        self.history: list[EpochRecord] = []
        self._device = device or torch.device("cpu")
        self._model: AlignedModel | None = None

    @property
    def epoch(self) -> int:
        """1 once it was fitted."""
        return len(self.history)

    @property
    def model(self) -> AlignedModel:
        """What was fitted."""
        assert self._model is not None, "it is fitted first"
        return self._model

    def epochs(self) -> Iterator[EpochRecord]:
        """Fit, unless it was done, and hand over to evaluate and save."""
        if not self.history:
            yield self._fit()

    def _fit(self) -> EpochRecord:
        form, data = self.settings.method.closed_form, self.data
        assert form is not None
        assert data.target_features is not None, "a closed form uses the target"
        source, target = (
            torch.cat([part.double().mean(dim=1) for part in batches_of(features, BATCH_SIZE)])
            .cpu()
            .numpy()
            for features in (data.source_features, data.target_features)
        )
        labels = data.source_labels.cpu().numpy()
        num_classes = self.settings.num_classes
        fitted = fit(form, source, labels, target, num_classes)
        self._model = AlignedModel.of(fitted, num_classes).to(self._device)
        error = self._source_error()
        self.history.append(
            EpochRecord(
                epoch=1,
                steps=1,
                losses={"total": error},
                grad_norm=0.0,
                learning_rate=0.0,
                reversal={},
                domain_accuracy={},
                attention=None,
                source_videos=data.num_source,
                target_videos=data.num_target,
                source_accuracy=1 - error,
            )
        )
        return self.history[0]

    def _source_error(self) -> float:
        """Return the share of source training videos that are told wrong."""
        told = observe(self.model, self.data.source_features, are_source=True).logits.argmax(dim=1)
        return float((told != self.data.source_labels.to(self._device)).double().mean())

    def identity(self) -> dict[str, Any]:
        """What must not differ between a saved state and the run that takes it up."""
        return identity_of(self.settings, self.data)

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be saved: plain values and tensors only."""
        return {
            "identity": self.identity(),
            "model": {name: value.clone() for name, value in self.model.state_dict().items()},
            "history": [asdict(record) for record in self.history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` saved.

        Raises:
            DataConflictError: if the state belongs to other settings or data.
        """
        check_same_run(state["identity"], self.identity())
        self._model = AlignedModel(state["model"], self.settings.num_classes).to(self._device)
        self.history = [EpochRecord(**record) for record in state["history"]]
