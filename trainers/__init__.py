"""Trainers: read the shop's rows, fit, publish a generation, measure it through SQL."""

import aisle.embedder  # noqa: F401 - before torch, for the thread settings there
