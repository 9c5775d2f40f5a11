"""The basket model: orders → next order, and cart completion."""
