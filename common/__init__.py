"""What both stages share: errors, settings, the feature store and its manifest."""

import warnings

# Without semaphores, such as where /dev/shm cannot be written, joblib says so at its import. What
# is ours counts CPUs without them.
warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)
