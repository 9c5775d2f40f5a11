"""The preference model: review → liked or not."""
