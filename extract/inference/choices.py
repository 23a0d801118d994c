"""Choices of profile `fast` that depend on the device: tried where a job is long, and remembered.

Precision on a CPU, how images lie in memory, the batch, and whether compiling pays. Other profiles
have one form on every device, so that equal devices compute equal bits.

Legend: B batch, D feature width, T frames of a window, S side of a crop.
"""

import copy
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ta3n.common.device import describe_device
from ta3n.common.errors import DataMissingError, FeatureStoreError, reason_of
from ta3n.common.files import canonical_json, replace_file, sha256_of
from ta3n.common.log import LOGGER
from ta3n.common.records import Record, dump_record, read_record
from ta3n.extract.inference.network import FeatureNetwork, LowPrecision

TIMED_RUNS = 3
MIN_GAIN = 1.03
"""Below this gain the usual form is kept."""
# Features of frames are to keep a cosine of 0.9999; images that are drawn turn them less: up to
# three times, as measured with trained weights.
_LEAST_COSINE = 0.999975
# A trial is to take at most this part of a job, and compiling at most a fifth of one.
_JOB_OF_TRIALS = 20
_COMPILED_FROM_S = 300.0
# Sides of the squares of colour that trial images are made of: a network sees shapes, not noise.
_SQUARES = 14


class Choice(Record):
    """A form in which a network can be run; by default the usual one, which needs no trial.

    Attributes:
        batch_size: Inputs in one forward pass, of each core on a CPU.
        bfloat16: Whether a CPU computes in 16-bit floats.
        channels_last: Whether the channels of a pixel lie side by side in memory.
        compiles: Whether the compiled network was faster; None where that was not tried.
    """

    batch_size: int
    bfloat16: bool = False
    channels_last: bool = True
    compiles: bool | None = None

    def __str__(self) -> str:
        floats = "bfloat16, " if self.bfloat16 else ""
        layout = "" if self.channels_last else "contiguous, "
        return f"{floats}{layout}batches of {self.batch_size}"


AsRun = Callable[[nn.Module, int], AbstractContextManager[nn.Module]]
"""Gives a network as it is run with a batch size."""


def other_choices(usual: Choice, device: torch.device, *, any_batch: bool) -> list[Choice]:
    """Return the forms that may be faster on a device.

    Args:
        any_batch: Whether the batch may be smaller than the largest.
    """
    if device.type == "cpu":
        return [usual.model_copy(update={"bfloat16": True})] if has_bfloat16() else []
    sizes = [usual.batch_size]
    if any_batch and usual.batch_size > 1:
        sizes.append(usual.batch_size // 2)
    forms = [
        usual.model_copy(update={"batch_size": size, "channels_last": last})
        for size in sizes
        for last in (True, False)
    ]
    return forms[1:]


def has_bfloat16() -> bool:
    """Say whether this PyTorch computes convolutions in bfloat16 on this processor."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())


def in_form(network: nn.Module, choice: Choice) -> nn.Module:
    """Return a `FeatureNetwork` in a form: itself if that is the usual one, else a copy."""
    if choice.channels_last and not choice.bfloat16:
        return network
    changed = copy.deepcopy(network)
    assert isinstance(changed, FeatureNetwork), "what was loaded is a feature network"
    if choice.bfloat16:
        changed.body = LowPrecision(changed.body, torch.bfloat16)
    if not choice.channels_last:
        changed.to(memory_format=torch.contiguous_format)
        changed.channels_last = False
    return changed


class Choices:
    """What is remembered of a network on a device, and what can be found out.

    Args:
        network: In its usual form; to be run by `as_run`, with batches of `num_threads` pieces.
        marks: What tells it from others: weights, software and so on.
        num_inputs: How many the job has, about; None if that is not known.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        input_shape: tuple[int, ...],
        *,
        marks: Mapping[str, str],
        num_inputs: int | None,
        num_threads: int,
        as_run: AsRun,
    ) -> None:
        self._network = network
        self._device = device
        self._input_shape = input_shape
        self._num_inputs = num_inputs
        self._num_threads = num_threads
        self._as_run = as_run
        self.path = choice_path(dict(marks) | {"device": _device_in_full(device)})

    def best(self, usual: Choice, *, any_batch: bool) -> Choice:
        """Return the fastest form as far as it is known; it is tried where the job is long enough.

        A form that is remembered is taken without a trial.
        """
        with suppress(DataMissingError, FeatureStoreError, OSError):
            known = read_record(Choice, self.path)
            # A larger one does not fit beside what else is on the device now.
            at_most = known.batch_size if any_batch else usual.batch_size
            if at_most == known.batch_size <= usual.batch_size:
                LOGGER.info("%s, as remembered in %s", known, self.path)
                return known
        others = other_choices(usual, self._device, any_batch=any_batch)
        sizes = [choice.batch_size for choice in (usual, *others)]
        cost = (1 + TIMED_RUNS) * self._num_threads * sum(sizes)
        if not others or self._num_inputs is None or self._num_inputs < _JOB_OF_TRIALS * cost:
            return usual
        chosen = self._fastest(usual, others)
        self._remember(chosen)
        return chosen

    def pays_to_compile(self, choice: Choice, network: nn.Module) -> bool:
        """Say whether compiling may be earned back: not by a short job, nor where it was no gain.

        Args:
            network: In the chosen form.
        """
        if choice.compiles is not None and not choice.compiles:
            return False
        if self._num_inputs is None:
            return True
        crops = self._crops(choice.batch_size)
        with self._as_run(network, choice.batch_size) as run:
            job_s = seconds_of([run], crops)[0] * self._num_inputs / len(crops)
        return job_s >= _COMPILED_FROM_S

    def remember_compiling(self, choice: Choice, *, gains: bool) -> None:
        """Keep whether compiling a form was a gain, beside a form that was found by a trial."""
        if self.path.exists():
            self._remember(choice.model_copy(update={"compiles": gains}))

    def _remember(self, choice: Choice) -> None:
        """Keep a choice for later jobs; where it cannot be kept, they find it out again."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, dump_record(choice))
        except OSError as error:
            LOGGER.debug("%s: %s", self.path, reason_of(error))

    def _fastest(self, usual: Choice, others: list[Choice]) -> Choice:
        """Try all forms; the usual one stays where no other is clearly faster, and as right."""
        rates: dict[Choice, float] = {}
        expected, best = None, usual
        for choice in (usual, *others):
            crops = self._crops(choice.batch_size)
            form = in_form(self._network, choice)
            try:
                with self._as_run(form, choice.batch_size) as run, torch.inference_mode():
                    found = run(crops)[: min(usual.batch_size, choice.batch_size)].float()
                    rates[choice] = len(crops) / seconds_of([run], crops)[0]
            except (RuntimeError, NotImplementedError) as error:
                # Memory may not suffice; some layers have no kernel for some forms.
                if choice == usual:
                    raise
                LOGGER.debug("%s: %s", choice, reason_of(error))
                continue
            expected = found if expected is None else expected
            cosine = float(F.cosine_similarity(found, expected[: len(found)]).min())
            gain = rates[choice] / rates[usual]
            LOGGER.info("%s: %.2f times the usual speed, least cosine %.6f", choice, gain, cosine)
            if cosine >= _LEAST_COSINE and rates[choice] >= MIN_GAIN * rates[best]:
                best = choice
        LOGGER.info("%s will be used, also by later jobs (%s)", best, self.path)
        return best

    def _crops(self, batch_size: int) -> Tensor:
        """Return a batch of images, or windows, of soft shapes, drawn here."""
        *_, side, _, _ = self._input_shape
        generator = torch.Generator().manual_seed(0)
        squares = torch.rand(batch_size, 3, _SQUARES, _SQUARES, generator=generator)
        images = F.interpolate(squares, size=side, mode="bicubic").mul(255).clamp(0, 255).byte()
        crops = images.permute(0, 2, 3, 1)
        if len(self._input_shape) == crops.ndim:
            crops = crops[:, None].expand(-1, *self._input_shape)
        return torch.cat([crops] * self._num_threads).to(self._device)


def seconds_of(networks: Sequence[Callable[[Tensor], Tensor]], crops: Tensor) -> list[float]:
    """Return the median seconds that each network takes for a batch, tried in turn."""
    times: list[list[float]] = [[] for _ in networks]
    with torch.inference_mode():
        for _ in range(TIMED_RUNS):
            for network, own in zip(networks, times, strict=True):
                started = time.perf_counter()
                # Taking one value waits for the device.
                network(crops)[0, 0].item()
                own.append(time.perf_counter() - started)
    return [median(own) for own in times]


def choice_path(marks: Mapping[str, str]) -> Path:
    """Return where a choice is remembered: in the folder where torch keeps what it downloads."""
    name = sha256_of(canonical_json(dict(marks)))[:16]
    return Path(torch.hub.get_dir()) / "ta3n" / f"choice-{name}.json"


def _device_in_full(device: torch.device) -> str:
    """Return the device's model and what computes on it: another one may prefer another form."""
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return f"{describe_device(device)} {torch.version.cuda} {cudnn}"
    name = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line for line in lines if line.startswith("model name")), name)
    return f"{describe_device(device)} {name} {has_bfloat16()}"
