"""The basket model: orders → next order, and what completes a cart."""
