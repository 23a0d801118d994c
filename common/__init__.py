"""What both stages share: errors, settings, the feature store and its manifest."""

import sys
import warnings

if sys.platform == "win32":
    raise ImportError("ta3n runs on Linux; on Windows, install and start it inside WSL")

# Without semaphores, such as where /dev/shm cannot be written, joblib says so at its import. What
# is ours counts CPUs without them.
warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)
