"""What each page holds: a module a task, and one about the freshness of all vectors."""
