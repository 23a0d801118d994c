"""`ta3n-train`, saving after every epoch, so that a test can disturb it without a long wait."""

from typing import Any

from ta3n.train.cli import main
from ta3n.train.jobs import execution
from ta3n.train.runs import session


def train_alone(*task: Any) -> Any:
    """Train in a worker, to which the interval of this process means nothing."""
    from ta3n.train.jobs import execution
    from ta3n.train.runs import session

    session._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    return execution._train_alone(*task)


if __name__ == "__main__":
    session._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    execution._train_alone = train_alone  # type: ignore[assignment]
    main()
