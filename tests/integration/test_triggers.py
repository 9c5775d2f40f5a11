"""The triggers on the shop's table: what a write queues, drafts and forgets, and what it must never do to the shop."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from aisle.db import Connection
from aisle.embedder import queue
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import LN4, Shop, TinyModel

TEA, COFFEE, UNKNOWN = [round(LN4, 3), 0], [0, round(LN4, 3)], [0, 0]
Login = Callable[..., Connection]


@pytest.fixture(params=["table", "partitioned"])
def shop(request: pytest.FixtureRequest, connection: Connection, tiny_model: TinyModel) -> Shop:
    """An attached table, plain or in two partitions; both must behave the same."""
    shop = Shop(connection)
    shop.create(tail="partition by range (id)" if request.param == "partitioned" else "")
    if request.param == "partitioned":
        shop.execute("create table shop.low partition of shop.products for values from (minvalue) to (100)")
        shop.execute("create table shop.high partition of shop.products for values from (100) to (maxvalue)")
    shop.attach(text_columns=["specs"], draft_rows=10)
    return shop


@pytest.fixture
def plain(connection: Connection, tiny_model: TinyModel) -> Shop:
    """An attached plain table, for what does not differ."""
    shop = Shop(connection)
    shop.create()
    shop.attach(text_columns=["specs"], draft_rows=10)
    return shop


def near(vector: Sequence[float]) -> Any:
    return pytest.approx(vector, abs=2e-3)


# What queues a row


@pytest.mark.trap(11)
def test_a_single_insert(shop: Shop) -> None:
    shop.execute("insert into shop.products (id, name) values (1, 'tea')")
    assert shop.jobs() == {"1": 1}
    assert shop.vectors() == {"1": near(TEA)}


@pytest.mark.trap(11)
def test_a_bulk_insert(shop: Shop) -> None:
    shop.execute("insert into shop.products (id, name) select i, 'tea' from generate_series(1, 500) i")
    assert shop.jobs() == {str(i): 1 for i in range(1, 501)}


@pytest.mark.trap(11)
def test_copy(shop: Shop) -> None:
    with shop.connection.cursor().copy("copy shop.products (id, name) from stdin") as copy:
        for i in range(1, 6):
            copy.write_row([i, "tea"])
    assert shop.jobs() == {str(i): 1 for i in range(1, 6)}
    assert shop.vectors() == {str(i): near(TEA) for i in range(1, 6)}


@pytest.mark.trap(11)
def test_insert_on_conflict(shop: Shop) -> None:
    shop.insert("tea", "tea", "tea")
    shop.forget_jobs()
    shop.execute(
        "insert into shop.products (id, name) values (1, 'tea'), (2, '커피'), (4, 'tea') "
        "on conflict (id) do update set name = excluded.name"
    )
    assert shop.jobs() == {"2": 1, "4": 1}, "Row 1 kept its name, row 2 changed, row 4 is new."
    assert shop.vectors() == {"1": near(TEA), "2": near(COFFEE), "3": near(TEA), "4": near(TEA)}
    shop.forget_jobs()
    shop.execute("insert into shop.products (id, name) values (1, '커피') on conflict do nothing")
    assert shop.jobs() == {}


@pytest.mark.trap(11)
def test_merge(shop: Shop) -> None:
    shop.insert("tea", "tea", "tea", "tea")
    shop.forget_jobs()
    shop.execute(
        "merge into shop.products p using (values (1, 'tea'), (2, '커피'), (3, null), (5, 'tea')) as new (id, name) "
        "on p.id = new.id when matched and new.name is null then delete "
        "when matched then update set name = new.name when not matched then insert (id, name) values (new.id, new.name)"
    )
    assert shop.jobs() == {"2": 1, "5": 1}
    assert shop.vectors() == {"1": near(TEA), "2": near(COFFEE), "4": near(TEA), "5": near(TEA)}


def test_a_statement_without_rows(shop: Shop) -> None:
    shop.insert("tea")
    shop.forget_jobs()
    shop.execute("insert into shop.products (id, name) select 9, 'tea' where false")
    shop.execute("update shop.products set name = 'x' where false")
    shop.execute("delete from shop.products where false")
    assert shop.jobs() == {}
    assert shop.vectors() == {"1": near(TEA)}


@pytest.mark.parametrize("assignment", ["name = '커피'", "maker = '커피'", "specs = '커피'", "name = null"])
def test_an_update_of_a_text_that_models_read(shop: Shop, assignment: str) -> None:
    shop.insert("xyzzy", "xyzzy")
    shop.forget_jobs()
    shop.execute(f"update shop.products set {assignment}, price = 1 where id = 1")
    assert shop.jobs() == {"1": 1}
    assert shop.vectors() == {"1": near(UNKNOWN if "null" in assignment else COFFEE), "2": near(UNKNOWN)}


@pytest.mark.trap(5)
@pytest.mark.parametrize(
    "assignment",
    ["price = 7", "category = category", "name = name", "name = 'tea', price = 3", "specs = null", "id = id"],
)
def test_an_update_that_changes_no_text_queues_nothing(shop: Shop, assignment: str) -> None:
    shop.insert("tea", "tea")
    shop.forget_jobs()
    shop.execute(f"update shop.products set {assignment}")
    assert shop.jobs() == {}


@pytest.mark.trap(5)
@pytest.mark.parametrize(
    ("type_", "text", "other"),
    [("numeric", "1.00", "1.000"), ("json", '{"a": 1}', '{"a":  1}')],
)
def test_a_column_is_compared_as_the_text_that_models_read(
    connection: Connection, tiny_model: TinyModel, type_: str, text: str, other: str
) -> None:
    shop = Shop(connection)
    shop.create()
    shop.execute(f"alter table shop.products add more {type_}")
    shop.attach(text_columns=["more"])
    shop.execute("insert into shop.products (id, more) values (1, %s)", [text])
    shop.forget_jobs()
    shop.execute("update shop.products set more = %s", [text])
    assert shop.jobs() == {}
    shop.execute("update shop.products set more = %s", [other])
    assert shop.jobs() == {"1": 1}


def test_a_text_that_the_shops_own_trigger_changes(shop: Shop) -> None:
    shop.execute(
        "create function shop.own() returns trigger language plpgsql "
        "as 'begin new.name := upper(new.maker); return new; end'"
    )
    shop.execute("create trigger own before update on shop.products for each row execute function shop.own()")
    shop.execute("insert into shop.products (id, name, maker) values (1, 'xyzzy', 'tea')")
    shop.forget_jobs()
    shop.execute("update shop.products set price = 1")
    assert shop.jobs() == {"1": 1}, "The name changed although the statement does not mention it."


@pytest.mark.parametrize("kind", ["stored", "virtual"])
def test_a_generated_column(connection: Connection, tiny_model: TinyModel, kind: str) -> None:
    shop = Shop(connection)
    if kind == "virtual" and connection.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 brought virtual columns.")
    shop.execute(
        "create schema shop; create table shop.products (id int primary key, price int, brand text, title text, "
        f"full_name text generated always as (coalesce(brand, '') || ' ' || coalesce(title, '')) {kind})"
    )
    shop.attach(name="full_name", manufacturer=None, category=None)
    shop.execute("insert into shop.products (id, title) values (1, 'tea')")
    shop.forget_jobs()
    shop.execute("update shop.products set price = 1")
    assert shop.jobs() == {}
    shop.execute("update shop.products set title = '커피'")
    assert shop.jobs() == {"1": 1}
    assert shop.vectors() == ({"1": near(COFFEE)} if kind == "stored" else {}), "Triggers do not see a virtual column."
    assert shop.value("select category from aisle.item_category(1)") == tiny_model.coffee


@pytest.mark.trap(8)
def test_an_update_of_the_id_moves_the_row(shop: Shop) -> None:
    shop.insert("tea", "커피")
    shop.execute("update shop.products set id = 50 where id = 1")
    assert shop.jobs().keys() == {"2", "50"}
    assert shop.vectors() == {"50": near(TEA), "2": near(COFFEE)}


def test_ids_that_change_places(plain: Shop) -> None:
    plain.execute("alter table shop.products drop constraint products_pkey, add primary key (id) deferrable")
    plain.insert("tea", "커피")
    plain.execute("update shop.products set id = 3 - id")
    assert plain.jobs().keys() == {"1", "2"}, "Each id is somebody's."
    drain(plain.connection, [ItemEmbedder()])
    assert plain.vectors() == {"1": near(COFFEE), "2": near(TEA)}


@pytest.mark.trap(12)
def test_ten_updates_are_one_job(shop: Shop) -> None:
    shop.insert("tea")
    for i in range(10):
        shop.execute("update shop.products set name = %s", [f"커피 {i}"])
    assert shop.jobs() == {"1": 11}


def test_a_change_revives_a_row_that_was_given_up(shop: Shop) -> None:
    shop.insert("tea")
    shop.collect()
    shop.execute("update aisle._embedding_jobs set is_dead = true, attempts = 5, last_error = 'x'")
    assert shop.value("select id from aisle.failures") == "1"
    shop.execute("update shop.products set name = '커피'")
    shop.collect()
    job = "select version, is_dead, attempts, last_error from aisle._embedding_jobs"
    assert shop.execute(job).fetchall() == [(2, False, 0, None)]


# What forgets a row


@pytest.mark.trap(11)
def test_delete(shop: Shop) -> None:
    shop.insert("tea", "커피")
    shop.execute("delete from shop.products where id = 1")
    assert shop.jobs().keys() == shop.vectors().keys() == {"2"}


def test_delete_and_insert_in_one_transaction(shop: Shop) -> None:
    shop.insert("tea")
    with shop.connection.transaction():
        shop.execute("delete from shop.products")
        shop.insert("커피")
    assert shop.jobs().keys() == {"1"}
    assert shop.vectors() == {"1": near(COFFEE)}


@pytest.mark.trap(11)
def test_truncate(shop: Shop) -> None:
    shop.insert("tea", "커피")
    shop.execute("truncate shop.products")
    assert shop.jobs() == shop.vectors() == {}


def test_a_delete_forgets_in_every_generation(shop: Shop, load_model: Callable[..., TinyModel]) -> None:
    shop.insert("tea")
    load_model(dimensions=3)
    shop.execute("update shop.products set name = '커피'")
    assert shop.value("select count(*) from aisle.item_vectors") == 2
    shop.execute("delete from shop.products")
    assert shop.vectors() == {}


def test_a_write_that_is_rolled_back_leaves_nothing(shop: Shop) -> None:
    with shop.connection.transaction(force_rollback=True):
        shop.insert("tea")
        assert shop.vectors() == {"1": near(TEA)}
    assert shop.jobs() == shop.vectors() == {}


# Drafts


def test_a_draft_is_there_in_the_same_transaction(shop: Shop, tiny_model: TinyModel) -> None:
    with shop.connection.transaction():
        shop.execute("insert into shop.products (id, name) values (1, 'tea')")
        assert shop.value("select count(*) from aisle.item_vectors") == 1
        assert shop.value("select category from aisle.item_category(1)") == tiny_model.tea
        shop.execute("update shop.products set name = '커피'")
        assert shop.value("select category from aisle.item_category(1)") == tiny_model.coffee


def test_small_statements_have_drafts_and_large_ones_do_not(plain: Shop) -> None:
    plain.execute("insert into shop.products (id, name) select i, 'tea' from generate_series(1, 10) i")
    assert len(plain.vectors()) == 10
    plain.execute("insert into shop.products (id, name) select i, 'tea' from generate_series(11, 21) i")
    assert len(plain.vectors()) == 10, "11 rows are more than draft_rows."
    assert len(plain.jobs()) == 21, "Rows without a draft are queued all the same."
    plain.execute("insert into shop.products (id, name) values (22, 'tea')")
    assert len(plain.vectors()) == 11, "The next statement counts from 0."


def test_no_statement_makes_more_drafts_than_draft_rows(shop: Shop) -> None:
    shop.execute("insert into shop.products (id, name) select i, 'xyzzy' from generate_series(1, 50) i")
    shop.execute("update shop.products set name = 'tea'")
    assert list(shop.vectors().values()).count(near(TEA)) <= 10
    assert len(shop.jobs()) == 50


@pytest.mark.parametrize(("encoder", "is_draft"), [("minilm", True), (None, False)])
def test_the_ngram_vector_is_a_draft_only_where_an_encoder_follows(
    shop: Shop, load_model: Callable[..., TinyModel], encoder: str | None, is_draft: bool
) -> None:
    load_model(encoder=encoder)
    shop.insert("tea")
    assert shop.value("select is_draft from aisle.item_vectors") is is_draft


def test_an_encoders_vector_stays_while_its_text_does(shop: Shop, load_model: Callable[..., TinyModel]) -> None:
    load_model(encoder="minilm")
    shop.insert("tea")
    shop.execute("update aisle.item_vectors set embedding = '[7,7]', is_draft = false")
    with shop.connection.transaction():
        shop.execute("update shop.products set name = 'xyzzy'")
        shop.execute("update aisle.item_vectors set embedding = '[7,7]', is_draft = false")
        shop.execute(
            "update shop.products set id = id, name = 'xyzzy', specs = ''"
        )  # the same content, another spelling
    assert shop.vectors() == {"1": [7, 7]}


def test_without_a_live_model_rows_are_queued(connection: Connection) -> None:
    shop = Shop(connection)
    shop.create()
    shop.attach()
    shop.insert("tea")
    assert shop.jobs() == {"1": 1}
    assert shop.vectors() == {}


@pytest.mark.trap(7)
@pytest.mark.parametrize("text", [None, "", " ", "\u0001", "🍵", "한글 ｔｅａ", "x" * 1_000_000, "x " * 500_000])
def test_every_text_has_an_outcome(shop: Shop, text: str | None) -> None:
    shop.insert(text)
    assert shop.jobs() == {"1": 1}
    assert shop.vectors() == {"1": near(TEA if text and "ｔｅａ" in text else UNKNOWN)}


# What the shop must never feel


def test_a_failing_draft_lets_the_shop_go_on(shop: Shop) -> None:
    warnings: list[str] = []
    shop.connection.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
    shop.execute("alter table aisle.ngram_vectors rename to ngram_vectors_gone")
    shop.insert("tea")
    shop.execute("update shop.products set name = '커피'")
    assert shop.jobs() == {"1": 2}
    assert shop.value("select name from shop.products") == "커피"
    assert len(warnings) == 2, "A draft that fails must warn."
    assert "left the draft" in warnings[0]


def test_a_row_without_an_id_lets_the_shop_go_on(connection: Connection, tiny_model: TinyModel) -> None:
    shop = Shop(connection)
    shop.execute("create schema shop; create table shop.products (id int unique, name text)")
    shop.attach(manufacturer=None, category=None)
    shop.execute("insert into shop.products values (null, 'tea'), (1, 'tea'), (null, 'x')")
    shop.execute("update shop.products set name = '커피'")
    assert shop.jobs() == {"1": 2}
    assert shop.value("select array_agg(item_id) from aisle._items") == ["1"]
    shop.execute("update shop.products set id = 2 where id is null and ctid = (select min(ctid) from shop.products)")
    shop.execute("delete from shop.products")
    assert shop.jobs() == shop.vectors() == {}


def test_a_writer_needs_no_rights_on_our_schema(shop: Shop, login: Login) -> None:
    writer = login("usage on schema shop", "select, insert, update, delete, truncate on shop.products")
    warnings: list[str] = []
    writer.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        writer.execute("select * from aisle.status")
    writer.execute("insert into shop.products (id, name) values (1, 'tea'), (2, 'tea'), (3, 'tea')")
    writer.execute("update shop.products set name = '커피' where id = 1")
    writer.execute("update shop.products set id = 200 where id = 2")
    writer.execute("delete from shop.products where id = 3")
    assert shop.jobs().keys() - {"2"} == {"1", "200"}
    assert shop.vectors() == {"1": near(COFFEE), "200": near(TEA)}
    writer.execute("truncate shop.products")
    assert shop.jobs() == {}
    assert warnings == []


def test_a_writers_search_path_and_temporary_tables_change_nothing(shop: Shop, login: Login) -> None:
    writer = login("usage on schema shop", "select, insert, update on shop.products", "create on schema shop")
    writer.execute(
        "create function shop.lower(text) returns text language sql as $$ select 'stolen by ' || session_user $$"
    )
    writer.execute("create function shop.unnest(text[]) returns setof text language sql as $$ select 'stolen' $$")
    writer.execute("create temporary table new_rows (id text); create temporary table pg_attribute (attname text)")
    writer.execute("set search_path = shop, pg_temp, pg_catalog")
    writer.execute("insert into shop.products (id, name) values (1, 'TEA')")
    assert shop.jobs() == {"1": 1}
    assert shop.vectors() == {"1": near(TEA)}


@pytest.mark.trap(13)
def test_notify_comes_at_most_once_a_statement(shop: Shop, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("listen aisle_embedding_jobs")

        def notifications() -> list[str]:
            return [notification.payload for notification in listener.notifies(timeout=0.1)]

        shop.execute("insert into shop.products (id, name) select i, 'tea' from generate_series(1, 300) i")
        assert notifications() == ["items"]
        shop.execute("update shop.products set name = '커피'")
        assert notifications() == ["items"]
        shop.execute("update shop.products set price = 1")
        assert notifications() == []
        shop.execute("delete from shop.products")
        assert notifications() == ["items"], "Somebody has to drop what is left of the rows."


def test_a_writer_never_waits_for_a_worker_or_another_writer(shop: Shop, database_url: str) -> None:
    shop.insert("tea", "tea")
    shop.collect()
    shop.execute("set lock_timeout = '1s'")
    with psycopg.connect(database_url) as worker, psycopg.connect(database_url) as writer:
        worker.execute("select from aisle._embedding_jobs for update")
        queue.collect(worker)
        writer.execute("insert into shop.products (id, name) values (3, 'tea')")
        shop.execute("update shop.products set name = '커피'")
        shop.execute("delete from shop.products where id = 2")
    assert shop.jobs() == {"1": 2, "3": 1}


# Other ways in


def logical_replication(shop: Shop) -> None:
    """Write as an apply worker does: only triggers that are enabled for it fire, and only those for each row."""
    shop.execute("set session_replication_role = replica")


@pytest.mark.trap(11)
def test_rows_that_arrive_by_logical_replication(shop: Shop) -> None:
    logical_replication(shop)
    shop.insert("tea", "tea", "tea")
    assert shop.jobs().keys() == {"1", "2", "3"}
    assert shop.vectors().keys() == {"1", "2", "3"}
    shop.execute("update shop.products set name = '커피' where id = 1")
    shop.execute("update shop.products set price = 1")
    shop.execute("delete from shop.products where id = 2")
    assert shop.jobs() == {"1": 2, "3": 1}
    assert shop.vectors() == {"1": near(COFFEE), "3": near(TEA)}
    shop.execute("truncate shop.products")
    assert shop.jobs() == {}


@pytest.fixture
def partitioned(connection: Connection, tiny_model: TinyModel) -> Shop:
    shop = Shop(connection)
    shop.create(tail="partition by range (id)")
    shop.execute("create table shop.low partition of shop.products for values from (0) to (100)")
    shop.attach(text_columns=["specs"])
    return shop


@pytest.mark.trap(11)
def test_writing_to_a_partition_directly(partitioned: Shop) -> None:
    partitioned.execute("insert into shop.low (id, name) values (1, 'tea'), (2, 'tea')")
    partitioned.execute("update shop.low set name = '커피' where id = 1")
    partitioned.execute("delete from shop.low where id = 2")
    assert partitioned.jobs() == {"1": 2}
    assert partitioned.vectors() == {"1": near(COFFEE)}


def test_a_partition_that_is_added_later(partitioned: Shop) -> None:
    partitioned.execute("create table shop.high partition of shop.products for values from (100) to (200)")
    partitioned.execute("insert into shop.products (id, name) values (100, 'tea')")
    partitioned.execute("insert into shop.high (id, name) values (101, 'tea')")
    assert partitioned.jobs().keys() == {"100", "101"}


def test_a_row_that_moves_to_another_partition(partitioned: Shop) -> None:
    partitioned.execute("create table shop.high partition of shop.products for values from (100) to (200)")
    partitioned.insert("tea")
    partitioned.execute("update shop.products set id = 150, name = '커피'")
    assert partitioned.jobs().keys() == {"150"}
    assert partitioned.vectors() == {"150": near(COFFEE)}


def test_the_sweep_finds_what_no_trigger_sees(partitioned: Shop) -> None:
    """Partitions that come or go as a whole, and TRUNCATE of one, fire no trigger of the parent."""
    partitioned.execute("create table shop.filled (like shop.products including all)")
    partitioned.execute("insert into shop.filled (id, name) values (100, 'tea'), (101, '커피')")
    partitioned.insert("tea", "tea")
    partitioned.forget_jobs()
    partitioned.execute("alter table shop.products attach partition shop.filled for values from (100) to (200)")
    partitioned.execute("truncate shop.low")
    assert partitioned.value("select aisle._enqueue_stale()") == 2
    assert partitioned.jobs().keys() == {"100", "101"}
    assert partitioned.vectors() == {}


def test_the_sweep_leaves_current_rows_alone(plain: Shop) -> None:
    plain.insert("tea", "커피", None)
    plain.forget_jobs()
    assert plain.value("select aisle._enqueue_stale()") == 0
    plain.execute("alter table shop.products disable trigger user")
    plain.execute("update shop.products set name = '커피' where id = 1")
    plain.execute("delete from shop.products where id = 2")
    assert plain.value("select aisle._enqueue_stale()") == 1
    assert plain.jobs().keys() == {"1"}
    assert plain.vectors().keys() == {"1", "3"}


def test_the_sweep_needs_an_attached_table(connection: Connection) -> None:
    with pytest.raises(psycopg.Error, match="No items are attached") as caught:
        connection.execute("select aisle._enqueue_stale()")
    assert caught.value.sqlstate == "AIS02"


def test_read_functions_write_nothing(plain: Shop) -> None:
    plain.insert("tea", "커피")
    plain.execute("insert into shop.products (id, name) select i, 'tea' from generate_series(3, 30) i")
    plain.execute("set default_transaction_read_only = on")
    for call in (
        "predict_category('tea', 'm', 3, 1)", "item_category(1)", "item_category('30')", "similar_items(1)",
        "similar_items('30')", "search_items('tea')", "embed_text('tea')", "status", "models", "deployments",
        "freshness", "failures", "category_review", "confusion", "category_report",
    ):  # fmt: skip
        plain.execute(f"select * from aisle.{call}")


def test_a_renamed_id_column_does_not_stop_the_shop(shop: Shop) -> None:
    shop.insert("tea", "tea", "tea")
    shop.execute("alter table shop.products rename column id to number")
    warnings: list[str | None] = []
    shop.connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    shop.execute("insert into shop.products (number, name) values (4, 'tea')")
    shop.execute("update shop.products set name = '커피' where number = 1")
    shop.execute("delete from shop.products where number = 2")
    assert shop.execute("select number, name from shop.products order by 1").fetchall() == [
        (1, "커피"),
        (3, "tea"),
        (4, "tea"),
    ]
    assert len(warnings) == 3, "Each statement whose rows were lost sight of must say so."


def test_notifications_can_be_switched_off(shop: Shop, database_url: str) -> None:
    """Two-phase commit refuses a transaction that has notified."""
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("listen aisle_embedding_jobs")
        shop.execute("set aisle.notify = off")
        shop.insert("tea")
        shop.execute("delete from shop.products")
        assert list(listener.notifies(timeout=0.2)) == []
    assert shop.value("select count(*) from aisle._changes") == 2, "The log has it all the same."


def test_drafts_take_no_more_than_their_share_of_a_statement(plain: Shop) -> None:
    plain.insert(*["xyzzy"] * 60)
    plain.execute(  # an embedding that takes long
        "alter function aisle._embed rename to _fast_embed;"
        "create function aisle._embed(model_id integer, ngrams text[]) returns public.vector language plpgsql as"
        " $f$ begin perform pg_sleep(0.02); return aisle._fast_embed(model_id, ngrams); end $f$"
    )
    plain.execute("update shop.products set name = 'tea'")
    made = plain.value("select count(*) from aisle.item_vectors where embedding::text <> '[0,0]'")
    assert 1 <= made <= 13, "After a quarter of a second the rest is the worker's."
    assert len(plain.jobs()) == 60
    plain.execute("set statement_timeout = '1s'; update shop.products set name = '커피'; reset statement_timeout")
    assert plain.value("select count(*) from aisle.item_vectors where embedding::text like '[0,1%'") == 0
