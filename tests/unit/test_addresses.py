"""No password of a database's address is in what is shown, whatever is wrong with the address."""

import logging
import queue
from logging.handlers import QueueHandler

import pytest
from psycopg.conninfo import conninfo_to_dict

from aisle import db
from aisle.db import addresses, errors
from aisle.embedder.listener import Listener

SECRET = "s3cr3t"

ADDRESSES = [
    ("postgresql://ann:s3cr3t@db.example:6543/shop", "postgresql://ann@db.example:6543/shop"),
    ("postgresql://ann:s3cr3t%40%2F@db/shop?sslmode=require", "postgresql://ann@db/shop?sslmode=require"),
    ("postgresql://ann@db/shop?password=s3cr3t&sslmode=require", "postgresql://ann@db/shop?sslmode=require"),
    ("postgresql://ann@db/shop?sslmode=require&password=s3cr3t", "postgresql://ann@db/shop?sslmode=require"),
    ("postgresql:///shop?user=ann&password=s3cr3t", "postgresql:///shop?user=ann"),
    ("host=db password=s3cr3t user=ann dbname=shop", "host=db user=ann dbname=shop"),
    (r"host=db user=ann password='s3cr3t \' x' dbname=shop", "host=db user=ann dbname=shop"),
    ("postgresql://ann@db/shop", "postgresql://ann@db/shop"),
    ("postgresql://postgres@/aisle?host=/var/lib/aisle&port=5432", "postgresql://postgres@/aisle?host=/var/lib/aisle&port=5432"),
    ("host=db user=ann dbname=shop", "host=db user=ann dbname=shop"),
]  # fmt: skip
WRONG = [
    "postgresql://ann:s3cr3t@127.0.0.1:1/shop",
    "postgresql://ann:s3cr3t@[",
    "postgresql://ann:s3cr3t@127.0.0.1:one/shop",
    "postgresql://ann:s3cr3t%zz@127.0.0.1:1/shop",
    "postgresql://ann:a@s3cr3t@127.0.0.1:1/shop",
    "postgresql://ann:s3cr3t/a@127.0.0.1:1/shop",
    "postgresql://ann:1/s3cr3t@127.0.0.1:1/shop",
    "postgresql://ann@127.0.0.1:1/shop?password=s3cr3t&pass=word",
    "postgresql://ann@127.0.0.1:1/shop?password=s3cr3t%",
    "ann:s3cr3t@127.0.0.1/shop",
    "host=127.0.0.1 port=1 password=one s3cr3t user=ann",
    "host=127.0.0.1 port=1 password='s3cr3t user=ann",
]


@pytest.mark.parametrize(("url", "shown"), ADDRESSES)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert addresses.without_password(url) == shown
    given = conninfo_to_dict(url)
    given.pop("password", None)
    assert conninfo_to_dict(shown) == given, "It is the same address."


def test_the_password_of_an_address_is_decoded() -> None:
    assert addresses.password("postgresql://ann:s3cr3t%40%2F@db/shop") == "s3cr3t@/"
    assert addresses.password("postgresql://ann@db/shop") is None


@pytest.mark.parametrize("url", WRONG)
def test_what_is_wrong_with_an_address_is_said_without_its_password(url: str) -> None:
    with pytest.raises(errors.ConnectionFailedError) as caught:
        db.connect(url)
    error: BaseException | None = caught.value
    while error:
        assert SECRET not in str(error)
        error = error.__cause__
    assert caught.value.hint


def test_an_address_without_a_password_is_explained_as_before() -> None:
    with pytest.raises(errors.WrongAddressError, match=r"no-such-option"):
        db.connect("postgresql://ann@127.0.0.1:1/shop?no-such-option=1")


@pytest.mark.parametrize("url", WRONG[:5])
def test_the_listener_logs_no_password(url: str) -> None:
    logged: queue.Queue[logging.LogRecord] = queue.Queue()
    handler = QueueHandler(logged)
    logger = logging.getLogger("aisle.embedder.listener")
    logger.addHandler(handler)
    bell = Listener(url, 5.0)
    try:
        line = logged.get(timeout=60).getMessage()
    finally:
        bell.close()
        logger.removeHandler(handler)
    assert "No notifications" in line
    assert SECRET not in line
