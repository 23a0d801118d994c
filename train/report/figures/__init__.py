"""The report's figures, one module each."""

from ta3n.common.device import load_matplotlib

load_matplotlib()
