"""If this breaks, a direction is trained with weights that nobody published, or says so wrongly."""

import pytest

from ta3n.train.recipe.directions import ReversalCoefficients, coefficients_for


def test_published_coefficients() -> None:
    to_hmdb = coefficients_for("ucf-hmdb-full", "ucf101", "hmdb51")
    assert to_hmdb.coefficients == ReversalCoefficients(relation=0.75, video=0.75, frame=0.5)
    assert (to_hmdb.gamma, to_hmdb.published) == (0.003, True)
    to_ucf = coefficients_for("ucf-hmdb-full", "hmdb51", "ucf101")
    assert to_ucf.coefficients == ReversalCoefficients(relation=1, video=0.75, frame=0.5)
    assert (to_ucf.gamma, to_ucf.published) == (0.3, True)


@pytest.mark.parametrize(
    ("benchmark", "source", "target", "gamma"),
    [
        ("ucf-hmdb-small", "ucf101", "hmdb51", 0.003),
        ("ucf-hmdb-small", "hmdb51", "ucf101", 0.3),
        ("ucf-olympic", "ucf101", "olympic", 0.003),
        ("ucf-olympic", "olympic", "ucf101", 0.3),
        ("mine", "kitchen", "street", 0.3),
        ("synthetic", "synthetic-a", "synthetic-b", 0.003),
    ],
)
def test_unpublished_coefficients_say_so(
    benchmark: str, source: str, target: str, gamma: float
) -> None:
    adaptation = coefficients_for(benchmark, source, target)
    assert (adaptation.gamma, adaptation.published) == (gamma, False)
