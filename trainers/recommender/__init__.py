"""The recommender: user and context → items."""
