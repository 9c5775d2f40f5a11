"""Keeps vectors up to date with the shop's rows: encoders, the queue, the worker."""

import os

# The database runs on the same cores, so waiting threads must yield, not spin: beside a busy neighbour a training step
# then takes a fifth of the time (measured). Torch reads this when it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
