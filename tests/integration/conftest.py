"""Files that are written for a test."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def put(tmp_path: Path) -> Any:
    """`put(content)` writes a file and returns its path."""

    def write(content: str | bytes, name: str = "items.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
