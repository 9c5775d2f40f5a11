"""Files that are written for a test, and attached shops of three shapes."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aisle import db
from tests.attached_shops import NAMES, Attached, attach_with_tiny_models
from tests.conftest import Server
from tests.shapes import EXAMPLES, SHAPES


@pytest.fixture
def put(tmp_path: Path) -> Any:
    """`put(content)` writes a file and returns its path."""

    def write(content: str | bytes, name: str = "items.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(scope="module")
def prepared_shape(server: Server) -> Iterator[Callable[[str], str]]:
    """`prepared_shape("odoo")` is the name of a database with such a shop, to clone."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def prepare(shape: str) -> str:
            url = stack.enter_context(server.database())
            attach_with_tiny_models(url, shape)
            return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])

        yield prepare


@pytest.fixture
def attached(
    server: Server, prepared_shape: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Attached]:
    """A shop of the shape that the parameter names, attached, with three tiny models and nothing pending."""
    shape = request.param
    options = f"template {prepared_shape(shape)} strategy file_copy"
    with server.database(options) as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        shop = Attached(connection)
        shop.shape, shop.names, shop.url = SHAPES[shape], NAMES[shape], url
        shop.file = EXAMPLES / shape / "shop.toml"
        assert shop.problems() == []
        yield shop
