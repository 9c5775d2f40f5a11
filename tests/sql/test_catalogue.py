"""What the server's catalogue says of every object of ours: its comment, its attributes, and who may use it."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from aisle import db, migrations
from aisle.db import Connection
from tests.conftest import Server, Shop, load_tiny_model

READ = {
    "predict_category", "item_category", "similar_items", "search_items", "embed_text", "recommend", "next_basket",
    "complete_basket", "explain_category", "explain_recommendation", "explain_basket",
}  # fmt: skip
ADMINISTER = {
    "attach_items", "attach_interactions", "attach_orders", "detach", "pause", "resume", "changed",
    "deploy", "rollback", "prune", "requeue_failures",
    "set_write_back", "apply_categories", "confirm_categories", "undo_categories",
}  # fmt: skip
VIEWS = {
    "status", "models", "deployments", "freshness", "warnings", "failures", "experiments", "confusion",
    "category_report", "category_review", "applied_categories",
}  # fmt: skip

FUNCTIONS = """
    select p.oid::regprocedure::text as signature, p.proname as name, l.lanname as language,
           p.provolatile as volatility, p.proparallel as parallel, p.prosecdef as is_definer,
           p.prorettype = 'trigger'::regtype as is_trigger, p.proconfig as settings,
           obj_description(p.oid, 'pg_proc') as comment
    from pg_proc p join pg_language l on l.oid = p.prolang where p.pronamespace = 'aisle'::regnamespace
    order by 1
"""


@pytest.fixture
def functions(connection: Connection) -> list[Any]:
    with connection.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return cursor.execute(FUNCTIONS).fetchall()


def is_public(name: str) -> bool:
    return not name.startswith(("_", "tg_"))


def test_the_public_functions_are_those_of_the_docs(functions: list[Any]) -> None:
    assert {f.name for f in functions if is_public(f.name)} == READ | ADMINISTER


def test_the_public_views_are_those_of_the_docs(connection: Connection) -> None:
    rows = connection.execute("select viewname from pg_views where schemaname = 'aisle'").fetchall()
    assert {name for (name,) in rows if is_public(name)} == VIEWS


def test_every_public_object_has_a_comment(connection: Connection, functions: list[Any]) -> None:
    relations = connection.execute(
        "select c.relname, obj_description(c.oid, 'pg_class') from pg_class c "
        "where c.relnamespace = 'aisle'::regnamespace and c.relkind in ('r', 'v', 'm', 'p') "
        "and c.relname <> 'alembic_version'"
    ).fetchall()
    comments = dict(relations) | {f.signature: f.comment for f in functions if is_public(f.name)}
    bare = [name for name, comment in comments.items() if is_public(name) and not comment]
    assert not bare, f"Write a COMMENT ON for {bare}: it is what \\d+ shows."


@pytest.mark.trap(20)
def test_read_functions_are_stable_and_parallel_safe(functions: list[Any]) -> None:
    for f in functions:
        if f.name in READ:
            assert f.volatility == "s", (
                f"{f.signature} must be stable: immutable would outlive a deploy in a cached plan."
            )
            assert f.parallel == "s", f"{f.signature} must be parallel safe."


def test_only_functions_of_their_arguments_alone_are_immutable(functions: list[Any]) -> None:
    assert {f.name for f in functions if f.volatility == "i"} == {
        "_content_hash", "_words", "_path_label", "_flat_label", "_ngrams", "_factor_hash", "_castable_ids",
        "_is_liked_rating", "_further", "_bounded", "_written", "_inner_product", "_cosine", "_declaration",
        "_conjunctions", "_item_way",
    }  # fmt: skip


def test_writing_functions_are_volatile(functions: list[Any]) -> None:
    for f in functions:
        if f.name in ADMINISTER or f.is_trigger:
            assert f.volatility == "v", f.signature


@pytest.mark.trap(25)
def test_trigger_functions_and_only_they_run_with_our_rights(functions: list[Any]) -> None:
    for f in functions:
        assert f.is_definer == f.is_trigger == f.name.startswith("tg_"), (
            f"{f.signature}: a trigger function is named tg_… and is security definer; nothing else is."
        )


@pytest.mark.trap(25)
def test_every_plpgsql_function_pins_its_search_path(functions: list[Any]) -> None:
    for f in functions:
        if f.language == "plpgsql":
            assert "search_path=pg_catalog, pg_temp" in f.settings, f"{f.signature}: see aisle._secure."
        else:
            assert f.settings is None, f"{f.signature}: a SET clause keeps a plain SQL function from being inlined."


# Rights

GRANTED_TO_PUBLIC = """
    with objects (name, acl) as (
        select oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) from pg_proc
        where pronamespace = 'aisle'::regnamespace
        union all
        select oid::regclass::text,
               coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))
        from pg_class where relnamespace = 'aisle'::regnamespace
        union all
        select a.attrelid::regclass || '.' || attname, attacl from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'aisle'::regnamespace
        union all
        select 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)) from pg_namespace
        where nspname = 'aisle'
    )
    select name, string_agg(a.privilege_type, ', ') from objects, aclexplode(acl) a where a.grantee = 0 group by name
"""


@pytest.mark.trap(24)
def test_nothing_is_granted_to_public(shop: Shop) -> None:
    load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    assert shop.execute(GRANTED_TO_PUBLIC).fetchall() == [], "See aisle._secure."


@pytest.mark.trap(24)
def test_a_role_without_grants_gets_nowhere(connection: Connection, login: Callable[..., Connection]) -> None:
    stranger = login()
    for statement in (
        "select * from aisle.predict_category('tea')",
        "table aisle._models",
        "select * from aisle.status",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(statement)
    # Even where somebody opens the schema, each object is closed.
    visitor = login("usage on schema aisle")
    rows = connection.execute(
        "select p.oid::regprocedure::text from pg_proc p where pronamespace = 'aisle'::regnamespace "
        "and has_function_privilege(%s, p.oid, 'execute')",
        [visitor.info.user],
    ).fetchall()
    assert rows == []


# Search path


@pytest.fixture(params=["public", "extensions"])
def anywhere(request: pytest.FixtureRequest, server: Server) -> Any:
    """A shop in a database that has pgvector in this schema."""
    with server.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create schema extensions")
            connection.execute(f"create extension vector schema {request.param}")
        migrations.migrate(url)
        with db.connect(url) as connection:
            connection.execute("set search_path = ''")
            yield Shop(connection)


def test_all_works_with_an_empty_search_path_and_pgvector_anywhere(anywhere: Shop) -> None:
    shop = anywhere
    model = load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    shop.insert("tea", "커피", "tea")
    assert shop.value("select category from aisle.predict_category('커피')") == model.coffee
    assert shop.value("select category from aisle.predict_category('커피', level => 1)") == "음료"
    assert shop.value("select category from aisle.item_category(1)") == model.tea
    assert shop.value("select item_id from aisle.similar_items(1)") == "3"
    assert shop.value("select item_id from aisle.search_items('커피')") == "2"
    assert shop.value("select vectors from aisle.status") == 3
    for view in VIEWS:
        shop.execute(f"select * from aisle.{view}")
    shop.execute("update shop.products set name = 'x' where id = 1; delete from shop.products where id = 2")
    assert shop.jobs() == {"1": 2, "3": 1}
    shop.execute("select aisle._enqueue_stale()")
    shop.execute("select aisle.detach('items')")
