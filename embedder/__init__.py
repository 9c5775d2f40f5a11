"""Keeps vectors in step with the shop's rows: encoders, the queue, the worker."""

import os

# The database works on the same cores. Threads that wait for each other must leave them to it, not spin: measured, a
# training step beside a busy neighbour takes a fifth of the time. Read when torch loads, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
