"""The category model: product text → category."""
