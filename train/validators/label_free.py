"""What the label-free rules look at after each epoch, gathered without a target label.

Shapes: S source training videos, M held-out source videos, K segments, D feature width.
"""

from torch import Tensor

from ta3n.train.data.run_data import RunData
from ta3n.train.model.model import TA3N
from ta3n.train.model.prediction import Observation, observe
from ta3n.train.validators.inputs import ValidatorInputs
from ta3n.train.validators.suite import Validators

# More source training videos than this make an epoch slower and hardly move a score.
_MAX_SOURCE_VIDEOS = 128
_BATCH = 512


class LabelFreeScores:
    """Scores each epoch by all label-free rules whose inputs the run has.

    Args:
        data: on the run's device. Without held-out source videos, as where the target is learned
            from, the rules that need the source have no score.
    """

    def __init__(self, data: RunData) -> None:
        self._held_out = data.held_out
        self._source: Tensor | None = None
        if data.held_out is not None:
            features = data.training.source_features
            # Evenly spread, so that all classes take part, and the same in every epoch and run.
            self._source = features[:: -(-len(features) // _MAX_SOURCE_VIDEOS)]
        self._validators = Validators()

    def score(self, model: TA3N, target: Observation) -> dict[str, float]:
        """Return the scores by rule, higher is better.

        Args:
            model: as it is after the epoch; left untouched.
            target: what it makes of the target validation videos.
        """
        source, held_out = self._source, self._held_out
        seen = None if held_out is None else _observe_source(model, held_out.features)
        inputs = ValidatorInputs(
            target_logits=target.logits,
            target_features=target.features,
            source_features=None if source is None else _observe_source(model, source).features,
            held_out_logits=None if seen is None else seen.logits,
            held_out_features=None if seen is None else seen.features,
            held_out_labels=None if held_out is None else held_out.labels,
        )
        return {str(name): score for name, score in self._validators.score(inputs).items()}


def _observe_source(model: TA3N, videos: Tensor) -> Observation:
    return observe(model, videos, _BATCH, are_source=True)
