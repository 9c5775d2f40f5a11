"""The real commands, run by roles that were granted no more than they need."""

from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from tests.acceptance.conftest import Aisle


@pytest.fixture
def roles(shop: Aisle) -> Iterator[tuple[Aisle, Aisle]]:
    """`aisle` as a worker, and as an administrator."""
    name = str(shop.value("select current_database()"))
    worker, admin = f"{name}_worker", f"{name}_admin"
    shop.query(f"create role {worker} login; create role {admin} login")
    said = shop("grant", "--worker", worker, "--admin", admin)
    for line in said.splitlines():
        if line.startswith("    grant "):
            shop.query(line)
    yield (
        Aisle(make_conninfo(shop.url, user=worker)),
        Aisle(make_conninfo(shop.url, user=admin)),
    )
    shop.query(f"drop owned by {worker}, {admin}; drop role {worker}, {admin}")


def test_a_worker_works_and_an_administrator_looks_and_deploys(shop: Aisle, roles: tuple[Aisle, Aisle]) -> None:
    worker, admin = roles
    shop.query(
        "insert into shop.products (id, name) select 10000 + i, '초코 과자 ' || i from generate_series(1, 300) i"
    )
    worker("worker", "--once")
    assert shop.value("select pending from aisle.freshness") == 0
    shop.query("alter table shop.products disable trigger user")
    shop.query("update shop.products set name = '감자 과자' where id = 10001")
    shop.query("alter table shop.products enable trigger user")
    assert "1 rows embedded" in worker("embed")
    assert worker.json("status")[0]["pending"] == 0
    assert "permission denied" in worker.refusal("rollback", "category")
    assert "aisle grant" in worker.refusal("deploy", "1")

    assert admin.json("models")[0]["state"] == "live"
    assert admin("deploy", "1", "--force") == "Model 1 answers for category already.\n"
    assert "There is no earlier deployment" in admin.refusal("rollback", "category")
    admin("failures", "--requeue")
    assert admin.json("evaluate", "category")
    assert "owner" in admin.refusal("detach", "items")
