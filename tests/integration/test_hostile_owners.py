"""The owner of an attached table, who may define types, casts, operators, functions, views, policies, gains no rights.

A spy stands in for what an attacker would do. It notes when it runs as anybody but its author.
"""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aisle import db, migrations
from aisle.db import Connection, errors, grants
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from aisle.embedder.worker import Options, Worker
from aisle.trainers.category.products import read_catalogue
from aisle.trainers.recommender.events import read_events
from tests.conftest import Server, Shop, load_tiny_basket, load_tiny_model, load_tiny_recommender

# A sequence keeps what a transaction that is rolled back does.
SPY = """
create schema shop authorization keeper;
create sequence shop.caught;
grant usage on sequence shop.caught to public;
grant usage on schema shop to public;
set role keeper;
create function shop.spy() returns void language plpgsql as $spy$
begin
    if current_user <> 'keeper' then
        perform nextval('shop.caught');
    end if;
end $spy$;
"""


class Hostile(Shop):
    """A shop whose tables belong to a role of its own, and whose casts and functions spy."""

    def __init__(self, connection: Connection, keeper: Connection) -> None:
        super().__init__(connection)
        self.keeper = keeper

    def as_keeper(self, statements: str) -> None:
        self.keeper.execute(statements.encode())

    def spying(self, name: str, arguments: str, returns: str, value: str) -> None:
        """Create a function that spies and returns a value."""
        self.as_keeper(
            f"create function shop.{name}({arguments}) returns {returns} language plpgsql as "
            f"$f$ begin perform shop.spy(); return {value}; end $f$"
        )

    def is_caught(self) -> bool:
        return bool(self.value("select is_called from shop.caught"))


@pytest.fixture
def hostile(server: Server, shop: Shop, database_url: str) -> Iterator[Hostile]:
    server.execute("create role keeper login")
    try:
        shop.execute(SPY)
        shop.execute("reset role")
        with psycopg.connect(make_conninfo(database_url, user="keeper"), autocommit=True) as keeper:
            yield Hostile(shop.connection, keeper)
    finally:
        shop.execute("drop owned by keeper cascade")
        server.execute("drop role keeper")


# What a keeper's own types are, and a value of each.
TYPES = {
    "enum": ("create type shop.own as enum ('tea', 'bread')", "'tea'"),
    "domain": (
        "create function shop.fits(text) returns boolean language plpgsql as"
        " $f$ begin perform shop.spy(); return true; end $f$;"
        "create domain shop.own as text check (shop.fits(value))",
        "'tea'",
    ),
    "composite": ("create type shop.own as (a text, b integer)", "'(tea,1)'"),
    "range": ("create type shop.own as range (subtype = text)", "'[a,b]'"),
    "array": (
        "create type shop.part as enum ('tea', 'bread'); create domain shop.own as shop.part[]",
        "'{tea}'",
    ),
}
ROLES = ("nothing", "name", "manufacturer", "category", "text_columns")


def own_type(hostile: Hostile, kind: str) -> str:
    """Create a type of the keeper's with casts that spy to whatever it can be cast to; return a value of it."""
    definition, value = TYPES[kind]
    hostile.as_keeper(definition)
    if kind in ("domain", "array"):  # PostgreSQL passes over casts of domains
        return value
    for target, result in (
        ("text", "'x'"),
        ("json", "'\"x\"'"),
        ("jsonb", "'\"x\"'"),
        ("varchar", "'x'"),
        ("bigint", "1"),
    ):
        hostile.spying(f"as_{target}", "shop.own", target, f"{result}::{target}")
        hostile.as_keeper(f"create cast (shop.own as {target}) with function shop.as_{target}(shop.own) as implicit")
    for operator in ("=", "<>"):
        name = {"=": "equal", "<>": "unequal"}[operator]
        hostile.spying(name, "shop.own, shop.own", "boolean", "true")
        hostile.as_keeper(
            f"create operator shop.{operator} (leftarg = shop.own, rightarg = shop.own, function = shop.{name})"
        )
    return value


def do_everything(hostile: Hostile) -> None:
    """Read and write in every way that Aisle has, as the superuser who owns it."""
    connection = hostile.connection
    drain(connection, [ItemEmbedder(), CustomerEmbedder()])
    connection.execute("select aisle._enqueue_stale()")
    drain(connection, [ItemEmbedder(), CustomerEmbedder()])
    read_catalogue(connection, split_column=None, seed=7)
    for question in (
        "predict_category('tea')", "item_category('1')", "similar_items('1')", "search_items('tea')",
        "recommend('ann')", "recommend('ann', exclude_seen => false)", "next_basket('ann')", "complete_basket('{1}')",
    ):  # fmt: skip
        connection.execute(f"select * from aisle.{question}".encode())
    for view in ("status", "freshness", "category_review", "confusion"):
        connection.execute(f"select * from aisle.{view}".encode())


@pytest.mark.trap(41)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", TYPES)
def test_a_value_of_a_type_of_the_owners_is_written_by_its_output_function(
    hostile: Hostile, kind: str, role: str
) -> None:
    load_tiny_model(hostile.connection)
    value = own_type(hostile, kind)
    hostile.as_keeper(
        "create table shop.products (id bigint generated always as identity primary key, name text, maker text, "
        f"category text, specs text, mood shop.own default {value})"
    )
    given: dict[str, Any] = {"text_columns": ["mood"]} if role == "text_columns" else {}
    if role not in ("nothing", "text_columns"):
        given = {role: "mood"}
    if given and (kind in ("composite", "range") or (kind == "array" and role != "text_columns")):
        with pytest.raises(psycopg.errors.DatabaseError, match="mood") as refused:
            hostile.attach(**given)
        assert isinstance(errors.translate(refused.value), errors.UnsuitableRelationError)
        return
    hostile.attach(**given)
    load_tiny_basket(hostile.connection, {"1": (1, 0)})
    load_tiny_recommender(hostile.connection, {1: ("x", (1, 0), (0, 1))})
    hostile.as_keeper(
        "insert into shop.products (name, category) values ('tea', 'x'), ('bread', 'y');"
        "update shop.products set name = 'another tea' where id = 1;"
        f"update shop.products set mood = null where id = 1; update shop.products set mood = {value};"
    )
    do_everything(hostile)
    hostile.as_keeper("delete from shop.products where id = 2")
    assert not hostile.is_caught(), "Code of the keeper's has run with our rights."


@pytest.mark.trap(41)
@pytest.mark.parametrize("table", ["items", "orders", "lines"])
def test_a_column_that_becomes_one_of_another_type(hostile: Hostile, table: str) -> None:
    load_tiny_model(hostile.connection)
    own_type(hostile, "enum")
    hostile.as_keeper(
        "create table shop.products (id bigint primary key, name text, maker text, category text);"
        "create table shop.orders (id bigint primary key, customer text, at timestamptz);"
        "create table shop.lines (order_id bigint, product bigint, quantity integer)"
    )
    hostile.attach()
    hostile.execute(
        "select aisle.attach_orders('shop.orders', 'id', 'product', 'customer', 'at', quantity => 'quantity',"
        " lines => 'shop.lines', line_order_id => 'order_id')"
    )
    name, columns = {
        "items": ("products", "name maker category id"), "orders": ("orders", "customer at"),
        "lines": ("lines", "order_id quantity"),
    }[table]  # fmt: skip
    for column in columns.split():
        hostile.as_keeper(
            f"alter table shop.{name} rename {column} to old_{column};"
            f"alter table shop.{name} add {column} shop.own default 'tea'"
        )
    if table == "items":
        hostile.as_keeper("insert into shop.products (old_id) values (1), (2)")
        hostile.as_keeper("update shop.products set old_name = 'tea', name = 'bread'; delete from shop.products")
    elif table == "orders":
        hostile.as_keeper("insert into shop.orders (id) values (1), (2)")
        hostile.as_keeper("update shop.orders set customer = 'bread'; delete from shop.orders")
    else:
        hostile.as_keeper("insert into shop.lines (product) values (1), (2)")
        hostile.as_keeper("update shop.lines set quantity = 'bread'; delete from shop.lines")
    assert not hostile.is_caught(), "Code of the keeper's has run with our rights."


@pytest.mark.trap(41)
def test_events_of_the_owners_types(hostile: Hostile) -> None:
    own_type(hostile, "enum")
    hostile.as_keeper(
        "create table shop.products (id bigint primary key, name text, maker text, category text);"
        "create table shop.visits (visitor text, product bigint, at timestamptz, mood shop.own, note shop.own,"
        " stars shop.own);"
        "insert into shop.products values (1, 'tea', null, 'x'), (2, 'bread', null, 'y');"
        "insert into shop.visits select 'ann', i, now() - i * interval '1 day', 'tea', 'bread', 'tea'"
        " from generate_series(1, 2) i"
    )
    hostile.attach()
    hostile.execute(
        "select aisle.attach_interactions('shop.visits', 'visitor', 'product', 'at', context_columns => array['mood'],"
        " review => 'note', rating => 'stars')"
    )
    load_tiny_recommender(hostile.connection, {1: ("x", (1, 0), (0, 1)), 2: ("y", (0, 1), (1, 0))})
    assert read_events(hostile.connection, ["user", "item", "mood"]).context_values == {"mood": ["tea"]}
    hostile.execute("select * from aisle.recommend('ann', exclude_seen => false)")
    hostile.execute("select review, rating from aisle._interactions")
    assert not hostile.is_caught()


VIEWS = {
    "a function": "select id, name, maker, category from shop.base where shop.tells(name)",
    "an operator": "select id, name, maker, category from shop.base where name operator(shop.~~~) 'x'",
    "a domain": "select id, name::shop.checked as name, maker, category from shop.base",
    "an array of a domain": "select id, (('{'||name||'}')::shop.checked[])[1] as name, maker, category from shop.base",
    "a cast to json": "select id, to_json(mood)::text as name, maker, category from shop.base",
    "a function that runs text": "select id, name, maker, category from shop.base"
    " where exists (select from ts_stat('select shop.vector()'))",
    "a view below": "select * from shop.below",
    "a policy below": "select id, name, maker, category from shop.secured",
}


@pytest.fixture
def viewed(hostile: Hostile) -> Hostile:
    """A table with a view for each way in which a view can run code of its author's."""
    own_type(hostile, "enum")
    hostile.spying("tells", "text", "boolean", "true")
    hostile.spying("like_this", "text, text", "boolean", "true")
    hostile.as_keeper(
        "create operator shop.~~~ (leftarg = text, rightarg = text, function = shop.like_this);"
        "create domain shop.checked as text check (shop.tells(value));"
        "create table shop.base (id bigint primary key, name text, maker text, category text, mood shop.own);"
        "create function shop.vector() returns tsvector language plpgsql as"
        " $f$ begin perform shop.spy(); return ''; end $f$;"
        "create function shop.sure(text) returns boolean immutable language plpgsql as"
        " $f$ begin perform shop.spy(); return true; end $f$;"
        "create view shop.below as select * from shop.base where shop.tells(name);"
        "create table shop.secured (id bigint primary key, name text, maker text, category text);"
        "alter table shop.secured enable row level security; alter table shop.secured force row level security;"
        "create policy own on shop.secured using (shop.tells(name));"
    )
    return hostile


@pytest.mark.trap(41)
@pytest.mark.parametrize("what", VIEWS)
def test_a_view_that_would_run_its_owners_code_is_refused(viewed: Hostile, what: str) -> None:
    viewed.as_keeper(f"create view shop.products as {VIEWS[what]}")
    with pytest.raises(psycopg.errors.DatabaseError) as refused:
        viewed.attach()
    error = errors.translate(refused.value)
    assert isinstance(error, errors.ForeignCodeError)
    assert "keeper" in str(error)
    assert "docs/security.md" in str(error.hint)
    assert not viewed.is_caught()


@pytest.mark.trap(41)
def test_a_view_of_somebody_who_is_trusted_is_attached(viewed: Hostile) -> None:
    viewed.execute(
        "create view shop.products as select b.id, upper(b.name) as name, b.maker, string_agg(b.category, ', ')"
        " as category from shop.base b group by b.id"
    )
    assert "Attached" in viewed.attach()
    viewed.execute("select aisle.detach('items')")
    viewed.execute("create view shop.trusting as select * from shop.base where shop.tells(name)")
    with pytest.raises(psycopg.errors.DatabaseError, match=r"shop\.tells"):
        viewed.attach("shop.trusting")
    assert not viewed.is_caught()


@pytest.mark.trap(41)
@pytest.mark.parametrize("change", ["view", "policy"])
def test_code_that_comes_after_attaching_is_not_run(
    viewed: Hostile, server: Server, database_url: str, change: str
) -> None:
    load_tiny_model(viewed.connection)
    if change == "view":
        viewed.execute("create view shop.products as select id, name, maker, category from shop.base")
    else:
        viewed.as_keeper("create table shop.products (id bigint primary key, name text, maker text, category text)")
    viewed.attach()
    viewed.as_keeper("insert into shop.base values (1, 'tea', null, 'x')")
    plain = viewed.connection
    if change == "view":
        viewed.execute("alter view shop.products owner to keeper")
        viewed.as_keeper(
            "create or replace view shop.products as select id, name, maker, category from shop.base"
            " where shop.tells(name) and shop.sure('x')"  # which planning alone would run
        )
    else:
        viewed.as_keeper(
            "alter table shop.products enable row level security;"
            "create policy own on shop.products using (shop.tells(name) and shop.sure('x'))"
        )
        # A superuser passes over policies; a worker does not.
        server.execute("create role plain_worker login")
        grants.grant(viewed.connection, "worker", "plain_worker")
        for statement in grants.missing_on_the_shop(viewed.connection, "plain_worker"):
            viewed.execute(statement)
        plain = db.connect(make_conninfo(viewed.connection.info.dsn, user="plain_worker"))
    try:
        for statement in ("select aisle._guard()", "select aisle._enqueue_stale()"):
            with pytest.raises(psycopg.errors.DatabaseError) as refused:
                plain.execute(statement.encode())
            assert isinstance(errors.translate(refused.value), errors.ForeignCodeError)
        viewed.execute("insert into aisle._changes (topic, ids, changed_at) values ('items', '{1}', now())")
        drain(plain, [ItemEmbedder()])
        assert "keeper" in viewed.value("select last_error from aisle.status where task = 'category'")
        if change == "view":
            with pytest.raises(psycopg.errors.DatabaseError, match="of keeper"):
                read_catalogue(plain, split_column=None, seed=7)
            Worker(database_url, Options(idle_exit=0.2, poll_interval=0.1)).run()  # goes on, and leaves in peace
        assert not viewed.is_caught()
    finally:
        if change == "policy":
            plain.close()
            viewed.execute("drop owned by plain_worker")
            server.execute("drop role plain_worker")


@pytest.mark.trap(41)
def test_doctor_names_a_superuser_who_reads_anothers_table(hostile: Hostile, database_url: str) -> None:
    from aisle.db import doctor

    hostile.as_keeper("create table shop.products (id bigint primary key, name text, maker text, category text)")
    hostile.attach()
    (found,) = [f for f in doctor.examine(database_url, migrations.head()) if f.check == "rights"]
    assert "but keeper owns shop.products" in found.found
    assert "docs/security.md" in str(found.remedy)


@pytest.mark.trap(41)
def test_an_administrator_cannot_point_attachments_at_another_table(
    shop: Shop, login: Callable[..., Connection]
) -> None:
    shop.create()
    shop.execute("create table shop.secrets (id bigint primary key, order_id bigint, secret text)")
    shop.execute("create table shop.orders (id bigint, customer text, at timestamptz, product bigint)")
    shop.execute("select aisle.attach_orders('shop.orders', 'id', 'product', 'customer', 'at')")
    admin = login("usage on schema shop", "insert on shop.orders")
    grants.grant(shop.connection, "admin", admin.info.user)
    for statement in (
        "update aisle._attachments set relation = 'shop.secrets', columns = columns || '{\"user\": \"secret\"}'",
        "insert into aisle._attachments select 'items', '{}', relation from aisle._attachments",
        "delete from aisle._attachments",
        "truncate aisle._attachments",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(statement.encode())
    # What a trigger reads is in the function that attach made: no table says it.
    for (source,) in shop.execute(
        "select prosrc from pg_proc where pronamespace = 'aisle'::regnamespace and prorettype = 'trigger'::regtype"
    ):
        assert "_attachments" not in source


@pytest.mark.trap(41)
def test_nobody_holds_up_deploys_and_trainings_without_a_right(shop: Shop, login: Callable[..., Connection]) -> None:
    from aisle.trainers.run import only_trainer

    model = load_tiny_model(shop.connection, deploy=False)
    roles = [login(), login(), login()]
    grants.grant(shop.connection, "reader", roles[1].info.user)
    grants.grant(shop.connection, "worker", roles[2].info.user)
    for role in roles:
        with role.transaction():
            for key in (4150711053, 4150711054, 4150711055):
                role.execute("select pg_advisory_xact_lock(%s)", [key])
            for table in ("_training_lock", "_deployments", "_models", "_attachments"):
                for mode in ("share row exclusive", "exclusive", "access exclusive"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege), role.transaction():
                        role.execute(f"lock table aisle.{table} in {mode} mode".encode())
            with only_trainer(shop.connection, "category"):
                pass
            shop.execute("select aisle.prune()")
            assert shop.value("select aisle.deploy(%s, force => true)", [model.model_id])
            shop.execute("delete from aisle._deployments")


@pytest.mark.trap(24)
def test_a_reader_of_rows_that_may_be_hidden_is_a_decision(shop: Shop, login: Callable[..., Connection]) -> None:
    shop.create()
    shop.attach()
    shop.execute("alter table shop.products enable row level security")
    reader = login().info.user
    with pytest.raises(errors.InvalidArgumentError, match=r"shop\.products") as refused:
        grants.grant(shop.connection, "reader", reader)
    assert "--despite-row-security" in str(refused.value.hint)
    grants.grant(shop.connection, "reader", reader, despite_row_security=True)


@pytest.mark.trap(24)
def test_row_security_that_is_switched_on_for_every_new_table(empty_url: str, login: Any) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(
            "create function public.secure() returns event_trigger language plpgsql as $f$ declare t record; begin"
            " for t in select objid from pg_event_trigger_ddl_commands() where command_tag = 'CREATE TABLE' loop"
            " execute format('alter table %s enable row level security', t.objid::regclass); end loop; end $f$;"
            "create event trigger secure on ddl_command_end when tag in ('CREATE TABLE')"
            " execute function public.secure()"
        )
    migrations.migrate(empty_url)
    with db.connect(empty_url) as connection:
        model = load_tiny_model(connection)
        secured = "select relname from pg_class where relnamespace = 'aisle'::regnamespace and relrowsecurity"
        assert connection.execute(secured).fetchall() == [], "Nobody would see a row of ours."
        connection.execute(f"alter table aisle.item_vectors_{model.model_id} enable row level security".encode())
    from aisle.db import doctor

    (found,) = [f for f in doctor.examine(empty_url, migrations.head()) if "row security" in f.found]
    assert f"alter table aisle.item_vectors_{model.model_id} disable row level security" in str(found.remedy)


@pytest.mark.trap(41)
def test_a_function_in_an_index_is_not_planned_with(viewed: Hostile) -> None:
    viewed.as_keeper(
        "create table shop.products (id bigint primary key, name text, maker text, category text);"
        "create index on shop.products ((shop.sure('x')))"
    )
    with pytest.raises(psycopg.errors.DatabaseError, match=r"shop\.sure"):
        viewed.attach()
    viewed.as_keeper("drop index shop.products_sure_idx; create index on shop.products (lower(name))")
    assert "Attached" in viewed.attach()
    assert not viewed.is_caught()


@pytest.mark.trap(41)
def test_a_schema_that_somebody_else_has_made_is_not_taken_over(server: Server) -> None:
    server.execute("create role squatter login")
    try:
        with server.database("owner squatter") as url:
            with psycopg.connect(make_conninfo(url, user="squatter"), autocommit=True) as squatter:
                squatter.execute("create schema aisle")
            with pytest.raises(errors.UnsupportedServerError, match="squatter owns the schema aisle"):
                migrations.migrate(url)
    finally:
        server.execute("drop role squatter")


@pytest.mark.trap(41)
def test_nothing_is_looked_up_on_a_search_path_before_ours_is_set(viewed: Hostile, database_url: str) -> None:
    """What libraries ask as they connect, and a path on which `public` comes first."""
    viewed.execute(f"alter database {viewed.connection.info.dbname} set search_path = public, pg_catalog")
    viewed.execute(
        "grant create on schema public to keeper;"
        "create table shop.products (id bigint primary key, name text, maker text, category text);"
        "insert into shop.products values (1, 'tea', null, 'x')"
    )
    viewed.attach()
    for operator, left, right in (("<>", "regproc", "integer"), ("=", "oid", "regtype"), ("=", "oid", "oid")):
        name = f"planted_{left}_{right}"
        viewed.as_keeper(
            f"create function public.{name}({left}, {right}) returns boolean language plpgsql as"
            f" $f$ begin perform shop.spy(); return true; end $f$;"
            f"create operator public.{operator} (leftarg = {left}, rightarg = {right}, function = public.{name})"
        )
    viewed.as_keeper(
        "create function public.pg_backend_pid() returns integer language plpgsql as"
        " $f$ begin perform shop.spy(); return pg_catalog.pg_backend_pid(); end $f$"
    )
    migrations.migrate(database_url)
    with db.connect(database_url) as connection:
        assert len(read_catalogue(connection, split_column=None, seed=7).item_ids) == 1
    Worker(database_url, Options(idle_exit=0.5, poll_interval=0.1)).run()
    assert not viewed.is_caught()


@pytest.mark.trap(41)
@pytest.mark.parametrize(
    "declared",
    [
        "query => 'select id, name from shop.products where shop.tells(name)'",
        "query => 'select id, name from shop.products where name === ''x'''",
        "query => 'select id, lower(name) as name from shop.products'",
        "'shop.products', name => 'shop.told(name)'",
        "'shop.products', eligible => 'shop.tells(name)'",
        "'shop.products', eligible => 'name::shop.checked is not null'",
        "'shop.products', eligible => 'exists (select from shop.seen s where s.id = r.id)'",
        "'shop.products', eligible => 'lower(name) = ''tea'''",
        "query => 'select id, name from shop.products',"
        " watch => '{\"shop.products\": \"select r.id where shop.tells('''')\"}'",
    ],
)
def test_a_declaration_does_not_run_code_of_others(viewed: Hostile, declared: str) -> None:
    viewed.execute("grant create on schema public to keeper")
    viewed.as_keeper(
        "create table shop.products (id bigint primary key, name varchar(50));"
        "insert into shop.products values (1, 'tea');"
        "create function shop.told(text) returns text language plpgsql"
        " as 'begin perform shop.tells($1); return $1; end';"
        "create function public.lower(varchar) returns text language plpgsql"
        " as 'begin perform shop.tells($1); return $1; end';"
        "create operator public.=== (leftarg = text, rightarg = text, function = shop.same);"
        "create view shop.seen as select id from shop.products where shop.tells(name)"
        .replace("create operator", "create function shop.same(text, text) returns boolean language plpgsql"
                 " as 'begin return shop.tells($1); end'; create operator")
    )  # fmt: skip
    with pytest.raises(psycopg.errors.DatabaseError, match=r"code of others"):
        viewed.execute(f"select aisle.attach_items({declared})")
    assert not viewed.is_caught()
    assert viewed.execute("select count(*) from aisle._attachments").fetchone() == (0,)


@pytest.mark.trap(41)
def test_names_of_a_declaration_are_found_once(viewed: Hostile) -> None:
    viewed.execute("grant create on schema public to keeper")
    viewed.as_keeper(
        "create table shop.products (id bigint primary key, name varchar(50));"
        "insert into shop.products values (1, 'Tea')"
    )
    viewed.execute("select aisle.attach_items('shop.products', eligible => 'lower(name) = ''tea''')")
    viewed.as_keeper(
        "create function public.lower(varchar) returns text language plpgsql"
        " as 'begin perform shop.tells($1); return $1; end'"
    )
    assert viewed.execute("select is_eligible from aisle._items").fetchone() == (True,)
    assert not viewed.is_caught()
