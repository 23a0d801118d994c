"""DAN, JAN and MMD as published libraries compute them: bandwidths, estimators and constants.

Shapes: n source and m target items, N = n + m, F_l width of layer l.

Sources: Long et al., ICML 2015 (DAN) and ICML 2017 (JAN); the libraries differ in their numbers, so
each has names of its own. `dan` and `jan` are those of TA3N's authors. Where a library needs equal
sizes, means of pairs take each domain's own size, and sums along a batch end with the smaller one.
Where all items agree, a floor of the bandwidth keeps 0 / 0 away.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import mul
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ta3n.train.loop.objective import Step
    from ta3n.train.model.model import ModelSpec

    Layers = Sequence[Tensor]
    """For each layer l, [N, F_l], the source items first."""
    Kernels = Sequence[Callable[[Tensor, float], Tensor]]
    """For each layer, what makes a kernel [N, N] of squared distances [N, N] and their floor."""

_FLOOR = 1e-12
_FACTORS = [2.0**power for power in range(-3, 2)]
_JAN_SIGMA_TLLIB, _JAN_BANDWIDTH_XLEARN = 0.92, 1.68


def _tllib(distances: "Tensor", floor: float) -> "Tensor":
    """Return five Gaussian kernels around the mean over all pairs, own pairs included."""
    mean = distances.detach().mean().clamp_min(floor)
    return _summed(distances, [2 * factor * mean for factor in _FACTORS])


def _xlearn(distances: "Tensor", floor: float) -> "Tensor":
    """Return five Gaussian kernels around the mean over pairs of distinct items."""
    total = len(distances)
    mean = distances.detach().sum() / (total * (total - 1))
    return _summed(distances, [2 * factor * mean.clamp_min(floor) for factor in _FACTORS])


def _fixed(bandwidth: float) -> "Callable[[Tensor, float], Tensor]":
    return lambda distances, _floor: (-distances / bandwidth).exp()


def _summed(distances: "Tensor", bandwidths: "Sequence[Tensor]") -> "Tensor":
    import torch

    return torch.stack([(-distances / each).exp() for each in bandwidths]).sum(dim=0)


def _adapt(num_source: int) -> "Callable[[Tensor, float], Tensor]":
    """Return one kernel, whose bandwidth is the lower median of all pairs of source items."""

    def kernel(distances: "Tensor", floor: float) -> "Tensor":
        within = distances[:num_source, :num_source].detach().flatten()
        median = within.sort().values[(len(within) - 1) // 2].clamp_min(floor)
        return (-distances / median).exp()

    return kernel


def joint_kernel(layers: "Layers", kernels: "Kernels", floor: float = _FLOOR) -> "Tensor":
    """Return the product of one kernel for each layer, [N, N].

    Args:
        layers: for each layer, [N, F_l].
        kernels: for each layer, `tllib`, `xlearn`, `adapt` or a fixed one.
        floor: smallest bandwidth.
    """
    from ta3n.train.losses.mmd import squared_distances

    made = zip(layers, kernels, strict=True)
    return reduce(mul, [kernel(squared_distances(layer), floor) for layer, kernel in made])


def _mean_of_distinct(kernel: "Tensor") -> "Tensor":
    """Return the mean off the diagonal of [n, n], 0 for a single item."""
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / max(count * (count - 1), 1)


def quadratic(kernel: "Tensor", num_source: int) -> "Tensor":
    """Return E k(s, s') + E k(t, t') - 2 E k(s, t) of a kernel [N, N], over distinct items."""
    within_source = kernel[:num_source, :num_source]
    within_target = kernel[num_source:, num_source:]
    across = kernel[:num_source, num_source:].mean()
    return _mean_of_distinct(within_source) + _mean_of_distinct(within_target) - 2 * across


def cyclic(kernel: "Tensor") -> "Tensor":
    """Return the mean over neighbours i, i + 1 of a batch, in time linear in it, the last with 0.

    Args:
        kernel: of n source and n target items, [2n, 2n].
    """
    import torch

    count = len(kernel) // 2
    this = torch.arange(count, device=kernel.device)
    return _paired(kernel, this, (this + 1) % count)


def disjoint(kernel: "Tensor") -> "Tensor":
    """Return the mean over pairs (0, 1), (2, 3), ... of a batch; an odd last item is left out.

    Args:
        kernel: of n source and n target items, [2n, 2n]; with n = 1 the value is 0.
    """
    import torch

    count = len(kernel) // 2
    this = torch.arange(0, count - 1, 2, device=kernel.device)
    return _paired(kernel, this, this + 1)


def _paired(kernel: "Tensor", this: "Tensor", other: "Tensor") -> "Tensor":
    count = len(kernel) // 2
    each = (
        kernel[this, other]
        + kernel[count + this, count + other]
        - kernel[this, count + other]
        - kernel[other, count + this]
    )
    return each.sum() / max(len(this), 1)


def _compared(layers: "Layers", num_source: int, *, linear: bool) -> "tuple[Layers, int]":
    """Return layers and n; where neighbours are compared, as many items of each as of the fewer."""
    if not linear:
        return layers, num_source
    import torch

    count = min(num_source, len(layers[0]) - num_source)
    return [torch.cat([x[:count], x[num_source : num_source + count]]) for x in layers], count


def tllib_loss(
    layers: "Layers", num_source: int, *, linear: bool, floor: float = _FLOOR
) -> "Tensor":
    """Return the discrepancy of the Transfer Learning Library, 0-d: DAN of one layer, JAN of two.

    A constant without gradient, 2 / (n - 1) for equal sizes, stands for the missing diagonals.

    Args:
        layers: features, and for JAN the softmax of the logits.
        num_source: n.
        linear: whether neighbours of a batch are compared instead of all pairs.
        floor: smallest bandwidth.
    """
    layers, num_source = _compared(layers, num_source, linear=linear)
    kernels = (_tllib, _fixed(2 * _JAN_SIGMA_TLLIB**2))[: len(layers)]
    kernel = joint_kernel(layers, kernels, floor)
    value = cyclic(kernel) if linear else quadratic(kernel, num_source)
    sizes = (num_source, len(kernel) - num_source)
    return value + sum(1 / max(size - 1, 1) for size in sizes)


def xlearn_loss(
    layers: "Layers", num_source: int, *, linear: bool, floor: float = _FLOOR
) -> "Tensor":
    """Return the discrepancy of Xlearn, the authors' program, of the same as `tllib_loss`."""
    layers, num_source = _compared(layers, num_source, linear=linear)
    kernels = (_xlearn, _fixed(_JAN_BANDWIDTH_XLEARN))[: len(layers)]
    kernel = joint_kernel(layers, kernels, floor)
    return cyclic(kernel) if linear else quadratic(kernel, num_source)


def adapt_loss(
    layers: "Layers", num_source: int, *, linear: bool, floor: float = _FLOOR
) -> "Tensor":
    """Return the discrepancy of pytorch-adapt, of the same; it compares disjoint neighbours."""
    layers, num_source = _compared(layers, num_source, linear=linear)
    kernel = joint_kernel(layers, [_adapt(num_source)] * len(layers), floor)
    return disjoint(kernel) if linear else quadratic(kernel, num_source)


def _features(step: "Step") -> "list[Tensor]":
    return [step.output.video_features]


def _joint(step: "Step") -> "list[Tensor]":
    return [step.output.video_features, step.output.logits.softmax(dim=-1)]


def _turned(step: "Step") -> "list[Tensor]":
    """Return both layers after a linear map each, which is made to find what differs."""
    layers = zip(("jan_features", "jan_classes"), _joint(step), strict=True)
    return [adversarial_layer(step.model.extra[name], layer) for name, layer in layers]


def adversarial_layer(theta: "nn.Module", layer: "Tensor") -> "Tensor":
    """Return theta of a layer [N, F]: theta ascends what the layer descends."""
    from ta3n.train.layers.reversal import reverse_gradient

    return reverse_gradient(theta(reverse_gradient(layer, 1.0)), 1.0)


def _thetas(spec: "ModelSpec") -> "dict[str, nn.Module]":
    widths = {"jan_features": spec.video_dim, "jan_classes": spec.num_classes}
    return {name: _identity(width) for name, width in widths.items()}


def _identity(width: int) -> "nn.Module":
    from torch import nn

    theta = nn.Linear(width, width)
    nn.init.eye_(theta.weight)
    nn.init.zeros_(theta.bias)
    return theta


_WEIGHT = Weight(
    name="kernels",
    default=0.1,
    about="of a discrepancy as a published library computes it",
    origin="ours, as alpha: the published 1 left one class of rendered clips",
    ramps=True,
)


def _register(
    name: str,
    label: str,
    source: str,
    measure: "Callable[..., Tensor]",
    layers: "Callable[[Step], list[Tensor]]",
    *,
    linear: bool = False,
) -> None:
    def loss(step: "Step") -> "Tensor":
        floor = step.recipe.bandwidth_floor
        return measure(layers(step), step.num_source, linear=linear, floor=floor)

    term = Term(
        name=f"discrepancy_{name.replace('-', '_')}",
        label=label,
        loss=loss,
        sources="pairs",
        weight=_WEIGHT,
        modules=_thetas if layers is _turned else None,
        reads=("bandwidth_floor",),
        fewest=2 if linear and measure is adapt_loss else 1,
    )
    register_method(Method(name=name, label=label, source=source, terms=(term,)))


_DAN, _JAN = "Long et al., ICML 2015", "Long et al., ICML 2017"
_MMD, _ADVERSARIAL = "Gretton et al., JMLR 2012", f"{_JAN}, section 4.2"
_register("dan-tllib", "DAN-tllib", _DAN, tllib_loss, _features)
_register("dan-tllib-linear", "DAN-tllib linear", _DAN, tllib_loss, _features, linear=True)
_register("jan-tllib", "JAN-tllib", _JAN, tllib_loss, _joint)
_register("jan-tllib-linear", "JAN-tllib linear", _JAN, tllib_loss, _joint, linear=True)
_register("jan-a-tllib", "JAN-A-tllib", _ADVERSARIAL, tllib_loss, _turned)
_register("dan-xlearn", "DAN-xlearn", _DAN, xlearn_loss, _features)
_register("dan-xlearn-linear", "DAN-xlearn linear", _DAN, xlearn_loss, _features, linear=True)
_register("jan-xlearn-linear", "JAN-xlearn linear", _JAN, xlearn_loss, _joint, linear=True)
_register("mmd-pytorch-adapt", "MMD-pytorch-adapt", _MMD, adapt_loss, _features)
_register(
    "mmd-pytorch-adapt-linear", "MMD-pytorch-adapt linear", _MMD, adapt_loss, _features, linear=True
)
_register("jmmd-pytorch-adapt", "JMMD-pytorch-adapt", _JAN, adapt_loss, _joint)
