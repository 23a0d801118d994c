"""The device that a stage runs on, and the CPUs that this process may use."""

import os

import torch

from ta3n.common.errors import DeviceError, UsageError


def allowed_cpus() -> int:
    """Return how many CPUs this process may use, as batch systems and containers set it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def resolve_device(name: str) -> torch.device:
    """Return the device called `auto`, `cpu`, `cuda` or `cuda:N`; `auto` prefers a GPU.

    Raises:
        UsageError: If the name is none of these.
        DeviceError: If there is no such device here.
    """
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in {"cpu", "cuda"} or (number and not number.isdigit()) or name == "cpu:":
        raise UsageError(f"device {name!r} is not known; use auto, cpu or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name} is not here: {torch.cuda.device_count()} CUDA devices are visible "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); "
            "use --device cpu, or ask the batch system for a GPU"
        )
    return torch.device("cuda", index)


def describe_device(device: torch.device) -> str:
    """Return the device for a record: a GPU's name, or the CPU's capability and thread count."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"
