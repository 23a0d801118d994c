"""Stage two: train and evaluate TA3N and its baselines on cached features.

What a run that was trained makes of new clips is to be had from here:

    from ta3n.train import load_run, predict

    run = load_run("runs/.../seed-0")
    for prediction in predict(run, ["one.mp4", "two.mp4"], top_k=3):
        print(prediction.video, prediction.status, prediction.top)
"""

from typing import TYPE_CHECKING

__all__ = ["ClassProbability", "Prediction", "TrainedRun", "load_run", "predict"]

if TYPE_CHECKING:
    from ta3n.train.inference.classify import ClassProbability, Prediction, predict
    from ta3n.train.inference.trained import TrainedRun, load_run
else:

    def __getattr__(name):
        """Import torch only for those who use it: command lines must answer at once."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ta3n.train.inference import classify, trained

        return getattr(trained if hasattr(trained, name) else classify, name)
