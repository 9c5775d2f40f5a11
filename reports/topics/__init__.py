"""The contents of the pages: a module for each task, and one for the freshness of all vectors."""
