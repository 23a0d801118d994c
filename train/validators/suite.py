"""All label-free rules: those of the files beside this one. No torch is loaded here."""

from importlib import import_module
from pkgutil import iter_modules

from ta3n.train import validators
from ta3n.train.validators.base import Validator, ValidatorInputs


def _found() -> list[Validator]:
    # What a rule computes with may need torch: such files have an underscore.
    names = [f.name for f in iter_modules(validators.__path__) if not f.name.startswith("_")]
    files = [import_module(f"{validators.__name__}.{name}") for name in names]
    return [file.RULE for file in files if hasattr(file, "RULE")]


RULES = tuple(sorted(_found(), key=lambda rule: rule.place))
"""All rules, in the order in which they are always computed and shown."""


def score_by_rule(inputs: ValidatorInputs) -> dict[str, float]:
    """Return the score of every rule that has one, higher is better: always a finite number.

    No random number is drawn, and nothing is kept between epochs.

    Args:
        inputs: Outputs of the model in evaluation mode.
    """
    scores = {rule.name: rule.score(inputs) for rule in RULES}
    return {name: score for name, score in scores.items() if score is not None}
