"""If this breaks, a direction is trained with weights that nobody published, or says so wrongly."""

import pytest

from ta3n.train.recipe.directions import direction_weights


def test_published_coefficients() -> None:
    to_hmdb = direction_weights("ucf-hmdb-full", "ucf101", "hmdb51")
    betas = {"beta_relation": 0.75, "beta_video": 0.75, "beta_frame": 0.5}
    assert to_hmdb.values == {**betas, "gamma": 0.003}
    assert to_hmdb.published
    to_ucf = direction_weights("ucf-hmdb-full", "hmdb51", "ucf101")
    assert to_ucf.values == {**betas, "beta_relation": 1, "gamma": 0.3}
    assert to_ucf.published


@pytest.mark.parametrize(
    ("benchmark", "source", "target", "gamma"),
    [
        ("ucf-hmdb-small", "ucf101", "hmdb51", 0.003),
        ("ucf-hmdb-small", "hmdb51", "ucf101", 0.3),
        ("ucf-olympic", "ucf101", "olympic", 0.003),
        ("ucf-olympic", "olympic", "ucf101", 0.3),
        ("mine", "kitchen", "street", 0.3),
        ("synthetic", "synthetic-a", "synthetic-b", 0.003),
        ("synthetic", "synthetic-c", "synthetic-a", 0.003),
    ],
)
def test_unpublished_coefficients_say_so(
    benchmark: str, source: str, target: str, gamma: float
) -> None:
    direction = direction_weights(benchmark, source, target)
    assert (direction.values["gamma"], direction.published) == (gamma, False)
