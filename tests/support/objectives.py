"""Reference values and gradients of published objectives, and how ours are compared with them.

The cases are read from `golden/objectives_reference.json` of the folder that TA3N_SHARED names;
`golden/OBJECTIVES.md` beside it says what they hold.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

VALUE_RTOL, GRADIENT_RTOL, FLOOR = 1e-10, 1e-9, 1e-13
"""Agreement in float64, relative to the largest expected entry; below the floor all is equal."""

Case = Mapping[str, Any]


@cache
def cases(shared: Path) -> dict[str, Case]:
    """Return all reference cases by their `id`."""
    path = shared / "golden" / "objectives_reference.json"
    return {case["id"]: case for case in json.loads(path.read_text())["cases"]}


def wave(shape: tuple[int, ...] | list[int], k: float, scale: float) -> Tensor:
    """Return the float64 tensor whose flat element j is `scale * sin(0.61 (j + 1) + k)`."""
    count = int(torch.tensor(shape).prod())
    places = torch.arange(1, count + 1, dtype=torch.float64)
    return (scale * torch.sin(0.61 * places + k)).reshape(*shape)


def inputs_of(case: Case) -> dict[str, Tensor]:
    """Return the inputs of a case by name; those of floating point ask for gradients."""
    made = {name: _make(recipe) for name, recipe in case["inputs"].items()}
    return {name: x.requires_grad_(x.is_floating_point()) for name, x in made.items()}


def _make(recipe: Mapping[str, Any]) -> Tensor:
    if "values" in recipe:
        dtype = torch.int64 if recipe.get("dtype") == "int" else torch.float64
        return torch.tensor(recipe["values"], dtype=dtype)
    made: Tensor = wave(recipe["shape"], recipe["k"], recipe["scale"])
    if "abs" in recipe:
        made = made.abs()
    made = made + float(recipe.get("plus", 0))
    if recipe.get("l2_rows"):
        made = made / made.norm(dim=-1, keepdim=True)
    return made.softmax(dim=-1) if recipe.get("softmax") else made


def check(case: Case, objective: Callable[..., Tensor]) -> None:
    """Hold an objective's value, and its gradients by every input, against a case.

    Args:
        objective: of the inputs of the case, by name.
    """
    inputs = inputs_of(case)
    value = objective(**inputs)
    check_value(value, case["outputs"]["value"])
    check_gradients(case, value, inputs)


def check_value(value: Tensor, expected: Any, rtol: float = VALUE_RTOL) -> None:
    """Hold a tensor against expected numbers, or against a summary of a large one."""
    if isinstance(expected, Mapping):
        flat = value.flatten()
        check_value(flat[: len(expected["first_8"])], expected["first_8"], rtol)
        check_value(value.norm(), expected["l2_norm"], rtol)
        # The sum of a gradient may vanish: its error is that of what it is a sum of.
        difference = abs(float(value.sum()) - expected["sum"]) if "sum" in expected else 0.0
        assert difference <= rtol * float(flat.abs().sum()) + FLOOR
        return
    wanted = torch.as_tensor(expected, dtype=torch.float64)
    assert value.shape == wanted.shape
    largest = float(wanted.abs().max())
    difference = float((value.detach() - wanted).abs().max())
    assert difference <= rtol * largest + FLOOR, f"off by {difference / max(largest, FLOOR):.1e}"


def check_gradients(case: Case, value: Tensor, inputs: Mapping[str, Tensor]) -> None:
    """Hold the gradients of a value by its inputs against those of a case."""
    names = list(case["gradients"])
    assert names, "a case without gradients is compared by its value alone"
    found = torch.autograd.grad(value, [inputs[n] for n in names], allow_unused=True)
    for name, gradient in zip(names, found, strict=True):
        expected = case["gradients"][name]
        if expected is None:
            assert gradient is None or not gradient.any(), f"{name} must get no gradient"
        else:
            assert gradient is not None, f"no gradient arrives at {name}"
            check_value(gradient, expected, GRADIENT_RTOL)
