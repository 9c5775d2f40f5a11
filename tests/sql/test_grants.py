"""Readers, workers and administrators, logged in as such: what each may do, and that it may do nothing else."""

from collections.abc import Callable
from typing import Any, cast

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql as compose

from aisle import db
from aisle.cli import aisle
from aisle.db import Connection, errors, grants, model_registry
from aisle.embedder import item_factors
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import Shop, TinyModel, load_tiny_basket, load_tiny_model, load_tiny_recommender

QUESTIONS = (
    "predict_category('녹차', 'maker', 3, 1)", "explain_category('녹차', 'maker')",
    "embed_text('xyzzy')", "item_category(42)", "item_category('44')",
    "similar_items(43)", "similar_items('43')", "similar_items(41, space => 'basket')", "search_items('녹차')",
    "similar_items(41, space => 'behaviour')", "similar_items(43, space => 'after')",
    "recommend('ann', context => '{\"meal_time\": \"dinner\"}')", "recommend('ann', exclude_seen => false)",
    "explain_recommendation('ann', '41')", "explain_recommendation(7, 41)",
    "recommend(7, category => '음료')", "recommend('nobody')",
    "next_basket('ann')", "next_basket(7)", "explain_basket('ann', '41')", "explain_basket(7, 41)",
    "complete_basket(array['41'], user_id => 'ann')",
)  # fmt: skip
READ = {
    "_attachments", "_tasks", "_deployments", "_models", "_recency_weights", "item_vectors", "category_vectors",
    "item_links",
    "ngram_vectors", "item_factors", "user_vectors", "context_vectors", "basket_items", "customer_vectors",
    "_items", "_interactions", "_orders",
}  # fmt: skip
COLUMNS_READ = {
    "_deployments": {"deployment_id", "task", "model_id", "rolled_back_at"},
    "_models": {"model_id", "dimensions", "parameters"},
}
WRITTEN_BY_WORKERS = {
    "_changes", "_embedding_jobs", "_embedding_batches", "item_vectors", "item_factors", "_learned_factors",
    "customer_vectors", "_item_predictions", "_applied_categories", "_comparisons",
}  # fmt: skip
READ_BY_WORKERS = WRITTEN_BY_WORKERS | {
    "alembic_version", "_attachments", "_watches", "_tasks", "_models", "_model_files", "_model_file_chunks",
    "_deployments", "_row_vectors",
    "category_vectors", "ngram_vectors", "basket_items", "_live_models", "freshness", "failures", "warnings", "status",
    "_items", "_interactions", "_orders", "_customers",
}  # fmt: skip
ADMINISTER = {
    "attach_items", "attach_interactions", "attach_orders", "detach", "pause", "resume", "deploy", "rollback",
    "requeue_failures",
}  # fmt: skip
# Where no function or operator of the catalogue is of just these types, so that one in another schema on the path wins.
OVERLOADS = {
    "pg_notify(text, text)": "void", "to_jsonb(anyelement)": "jsonb", "cardinality(text[])": "integer",
    "format(text, text)": "text", "format(text, integer, text, text)": "text", "array_remove(text[], text)": "text[]",
    "concat_ws(text, text, text, text)": "text", "array_to_string(text[], text)": "text",
    "array_fill(integer, integer[])": "integer[]", "array_fill(double precision, integer[])": "double precision[]",
    "sqrt(integer)": "double precision", "log(real)": "double precision",
}  # fmt: skip
OPERATORS = (
    ("/", "integer, double precision"), ("-", "integer, double precision"), ("/", "real, integer"),
    ("||", "text, integer"), ("=", "double precision, integer"), ("<>", "text[], text[]"),
)  # fmt: skip
REFUSED = ("recommend(7, category => 'nothing')",)  # with a hint, which takes rights as an answer does
SHOP = (
    "usage on schema shop", "select (id, name, maker, category, specs) on shop.products",
    "select (customer_id, product_id, visited_at, meal_time) on shop.visits",
    "select (order_id, customer_id, product_id, ordered_at) on shop.order_lines",
)  # fmt: skip


@pytest.fixture
def full(shop: Shop, tiny_model: TinyModel) -> Shop:
    """A shop with everything attached, and a model of each task that answers."""
    shop.create()
    shop.execute(
        "create table shop.visits (customer_id text, product_id bigint, visited_at timestamptz, meal_time text);"
        "create table shop.order_lines (order_id bigint, customer_id text, product_id bigint, ordered_at timestamptz)"
    )
    shop.attach(text_columns=["specs"])
    shop.insert_more(41, "녹차", "커피", "녹차", "식빵")
    # As after a large statement, when the worker has not been there.
    shop.execute("delete from aisle.item_vectors where item_id = '44'")
    shop.execute(
        "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at',"
        " context_columns => array['meal_time']);"
        "select aisle.attach_orders('shop.order_lines', 'order_id', 'product_id', 'customer_id', 'ordered_at');"
        "insert into shop.visits values ('ann', 41, now(), 'dinner');"
        "insert into shop.order_lines values (1, 'ann', 41, now() - interval '1 day'), (2, 'ann', 42, now())"
    )
    load_recommender(shop)
    load_basket(shop)
    shop.execute(
        "update aisle._models set parameters = parameters || jsonb_build_object('text_model', %s::integer)"
        " where task = 'recommender'",
        [tiny_model.model_id],
    )
    shop.execute(
        """update aisle._models set parameters = parameters || '{"links": {"after": {"decay": 4, "history": 20}}}'
           where task = 'recommender';
           insert into aisle.item_links select model_id, '41', kind, '{42}', '{1}'
           from aisle._live_models, unnest(array['after', 'beside']) kind where task = 'recommender'"""
    )
    return shop


def load_recommender(shop: Shop) -> None:
    load_tiny_recommender(shop.connection, {41: ("음료", (1, 0), (0, 1)), 42: (None, (0, 1), (1, 0))})


def load_basket(shop: Shop) -> None:
    load_tiny_basket(shop.connection, {"41": (1, 0), "42": (0, 1)}, {"bob": ((1, 0), ["42"])})


@pytest.fixture
def granted(full: Shop, login: Callable[..., Connection]) -> Callable[..., Connection]:
    """`granted("reader")` is the connection of a new role of that kind, which the shop lets read what is attached."""

    def open_(kind: str, shop: tuple[str, ...] = SHOP) -> Connection:
        connection = login(*shop)
        grants.grant(full.connection, kind, connection.info.user)
        return connection

    return open_


def objects(connection: Connection, query: str) -> list[Any]:
    with connection.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


RELATIONS = """
    select c.relname as name, c.relkind as kind, coalesce(p.relname, c.relname) as parent,
           array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0) as columns
    from pg_class c
    left join pg_inherits i on i.inhrelid = c.oid
    left join pg_class p on p.oid = i.inhparent
    where c.relnamespace = 'aisle'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
"""
FUNCTIONS = """
    select p.oid::regprocedure::text as signature, p.proname as name, p.proargtypes::regtype[]::text[] as arguments,
           has_function_privilege(p.oid, 'execute') as is_granted, p.proisstrict as is_strict
    from pg_proc p where p.pronamespace = 'aisle'::regnamespace
"""


def may(connection: Connection, statement: compose.Composable) -> bool:
    """Return whether a role may do this; it is not done."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState):
        return False  # the latter: nobody can write to a view of several tables
    except psycopg.Error:
        pass  # it got beyond the rights
    return True


def allowed(connection: Connection, relation: Any) -> set[str]:
    """Return what a role may do to a relation, and of which of its columns it may read every one."""
    name = compose.Identifier("aisle", relation.name)
    if relation.kind == "S":
        held = connection.execute(
            "select r from unnest('{usage,select,update}'::text[]) r where has_sequence_privilege(%s, r)",
            (f"aisle.{relation.name}",),
        )
        return {right for (right,) in held}
    # Of a view, the first column is the shop's own; of a table, it may be one that is always generated.
    column = compose.Identifier(relation.columns[0 if relation.kind == "v" else -1])
    tried = {
        "insert": compose.SQL("insert into {} ({}) values (null)").format(name, column),
        "update": compose.SQL("update {} set {} = null").format(name, column),
        "delete": compose.SQL("delete from {}").format(name),
    }
    if relation.kind in "rp":
        tried["truncate"] = compose.SQL("truncate {}").format(name)
    held = {right for right, statement in tried.items() if may(connection, statement)}
    return held | {
        f"select {column}"
        for column in relation.columns
        if may(connection, compose.SQL("select {} from {}").format(compose.Identifier(column), name))
    }


def columns(relation: Any) -> set[str]:
    return {f"select {column}" for column in relation.columns}


def callable_functions(connection: Connection) -> set[str]:
    """Return the names of the functions that a role may call; the others are tried, and refused."""
    functions = objects(connection, FUNCTIONS)
    for f in functions:
        nulls = compose.SQL(", ".join(f"null::{argument}" for argument in f.arguments))
        call = compose.SQL("select {}({})").format(compose.Identifier("aisle", f.name), nulls)
        # One that is strict is not even called with nulls.
        assert f.is_granted or f.is_strict or not may(connection, call), f.signature
    return {f.name for f in functions if f.is_granted}


@pytest.mark.trap(24)
def test_a_reader_may_ask_and_read_what_answers_and_nothing_else(
    full: Shop, granted: Callable[..., Connection]
) -> None:
    reader = granted("reader")
    for question in QUESTIONS:
        reader.execute(f"select * from aisle.{question}".encode())
    for relation in objects(full.connection, RELATIONS):
        read = COLUMNS_READ.get(relation.parent, set(relation.columns)) if relation.parent in READ else set()
        assert allowed(reader, relation) == {f"select {column}" for column in read}, relation.name
    callable_ = callable_functions(reader)
    assert callable_.isdisjoint(ADMINISTER)
    assert {name for name in callable_ if name.startswith("tg_")} == set()
    assert not may(reader, compose.SQL("create table aisle.mine ()"))


def test_a_reader_was_granted_nothing_that_no_question_needs(full: Shop, granted: Callable[..., Connection]) -> None:
    reader = granted("reader")
    held = objects(
        full.connection,
        "select 'execute on function ' || p.oid::regprocedure as text from pg_proc p, aclexplode(proacl) a "
        f"where a.grantee = '{reader.info.user}'::regrole "
        "union all select format('select on %s', c.oid::regclass) from pg_class c, aclexplode(relacl) a "
        f"where a.grantee = '{reader.info.user}'::regrole and c.relispartition is false "
        "and c.relnamespace = 'aisle'::regnamespace "
        "union all select format('select (%I) on %s', t.attname, t.attrelid::regclass) "
        "from pg_attribute t join pg_class c on c.oid = t.attrelid, aclexplode(attacl) a "
        f"where a.grantee = '{reader.info.user}'::regrole and c.relnamespace = 'aisle'::regnamespace",
    )
    assert len(held) > 40
    for right in held:
        full.execute(f"revoke {right.text} from {reader.info.user}")
        answers = [may(reader, compose.SQL(f"select * from aisle.{question}")) for question in (*QUESTIONS, *REFUSED)]
        assert not all(answers), f"No question needs {right.text}: take it out of sql/grants/reader.sql."
        full.execute(f"grant {right.text} to {reader.info.user}")


@pytest.mark.trap(24)
def test_a_worker_may_keep_vectors_up_to_date_and_nothing_else(full: Shop, granted: Callable[..., Connection]) -> None:
    worker = granted("worker")
    item_factors.store(full.connection, model_registry.require_live(full.connection, "recommender"), [])
    full.execute("update shop.products set name = 'tea'; insert into shop.order_lines values (3, 'cat', 41, now())")
    worker.execute("select aisle._enqueue_stale()")
    assert drain(worker, [ItemEmbedder(), FactorEmbedder(), CustomerEmbedder()]) > 0
    assert full.value("select count(*) from aisle._embedding_jobs") == 0
    for relation in objects(full.connection, RELATIONS):
        expected = set()
        if relation.parent in READ_BY_WORKERS:
            expected |= columns(relation)
        if relation.parent in WRITTEN_BY_WORKERS:
            expected |= {"insert", "update", "delete"}
        if relation.name == "_lease_tokens":
            expected = {"usage"}
        found = allowed(worker, relation)
        assert found == expected, relation.name
    assert callable_functions(worker).isdisjoint({*ADMINISTER, "prune"})
    assert not may(worker, compose.SQL("create table aisle.mine ()"))


def test_an_administrator_may_use_all_of_ours(full: Shop, granted: Callable[..., Connection]) -> None:
    admin = granted("admin")
    for relation in objects(full.connection, RELATIONS):
        if relation.kind != "S":
            assert allowed(admin, relation) >= columns(relation), relation.name
        if relation.name in ("_attachments", "_watches", "_tasks", "_write_back", "alembic_version", "_training_lock"):
            assert allowed(admin, relation) == columns(relation), "These change by functions and migrations alone."
        elif relation.kind in "rp":
            assert allowed(admin, relation) >= {"insert", "update", "delete", "truncate"}, relation.name
    callable_ = callable_functions(admin)
    assert {f.name for f in objects(full.connection, FUNCTIONS)} - callable_ == {
        "tg_items__delete", "tg_items__insert", "tg_items__row", "tg_items__truncate", "tg_tasks__changed",
        "tg_watch_orders_1__changed",
    }, "They run as their owner, on whatever table they are a trigger of."  # fmt: skip
    triggers = compose.SQL(
        "create trigger mine before insert on {} execute function suppress_redundant_updates_trigger()"
    )
    for relation in objects(full.connection, RELATIONS):
        if relation.kind in "rp":
            assert not may(admin, triggers.format(compose.Identifier("aisle", relation.name))), relation.name
    second = load_tiny_model(full.connection, deploy=False).model_id
    admin.execute("select aisle.deploy(%s)", (second,))
    assert model_registry.live(full.connection, "category") == second
    admin.execute("select aisle.rollback('category')")
    assert model_registry.live(full.connection, "category") != second
    admin.execute("select aisle.requeue_failures()")
    # What creates and drops tables is the owner's.
    for statement in ("select aisle.detach('items')", "select aisle._create_generation(1)", "drop table aisle._models"):
        assert not may(admin, compose.SQL(statement)), statement


@pytest.mark.trap(24)
@pytest.mark.parametrize("kind", grants.KINDS)
def test_a_generation_and_an_attachment_that_come_later_need_no_new_grant(
    full: Shop, granted: Callable[..., Connection], kind: str
) -> None:
    role = granted(kind)
    before = {r.name: allowed(role, r) for r in objects(full.connection, RELATIONS)}
    load_tiny_model(full.connection)
    load_recommender(full)
    load_basket(full)
    for attached in ("items", "interactions", "orders"):
        full.execute("select aisle.detach(%s)", [attached])
    full.attach(text_columns=["specs"])
    full.execute(
        "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at',"
        " context_columns => array['meal_time']);"
        "select aisle.attach_orders('shop.order_lines', 'order_id', 'product_id', 'customer_id', 'ordered_at')"
    )
    for relation in objects(full.connection, RELATIONS):
        # What is new may be used as what it is a generation of.
        expected = before[relation.name if relation.name in before else relation.parent]
        assert allowed(role, relation) == expected, relation.name
    if kind == "reader":
        for question in QUESTIONS:
            role.execute(f"select * from aisle.{question}".encode())


PUBLIC_RIGHTS = """
    select c.oid::regclass::text from pg_class c, aclexplode(c.relacl) a
    where c.relnamespace = 'aisle'::regnamespace and a.grantee = 0
"""


@pytest.mark.trap(24)
def test_default_privileges_of_the_database_give_public_no_generation(full: Shop) -> None:
    full.execute("alter default privileges grant select on tables to public")
    load_tiny_model(full.connection)
    full.execute("select aisle.detach('items')")
    full.attach()
    assert full.execute(PUBLIC_RIGHTS).fetchall() == []


def test_what_is_taken_back_does_not_come_back_with_a_new_model(full: Shop, granted: Callable[..., Connection]) -> None:
    reader = granted("reader")
    full.execute(f"revoke select on aisle.item_vectors from {reader.info.user}")
    new = load_tiny_model(full.connection).model_id
    assert not may(reader, compose.SQL(f"select from aisle.item_vectors_{new}"))


def test_a_role_of_any_name(full: Shop) -> None:
    name = """x"; drop table y; -- ' $$ ROLE"""
    identifier = compose.Identifier(name)
    full.execute("create table y ()")
    with pytest.raises(errors.InvalidArgumentError, match="There is no role"):
        grants.grant(full.connection, "reader", name)
    full.connection.execute(compose.SQL("create role {}").format(identifier))
    try:
        for kind in grants.KINDS:
            grants.grant(full.connection, kind, name)
        assert full.value("select to_regclass('y') is not null"), "A name was run as SQL."
        missing = grants.missing_on_the_shop(full.connection, name)
        assert len(missing) == 4
        for statement in missing:
            full.execute(statement)
        assert grants.missing_on_the_shop(full.connection, name) == []
    finally:
        full.connection.execute(compose.SQL("drop owned by {0}; drop role {0}").format(identifier))


def test_what_the_shop_is_asked_for_is_what_a_reader_needs(full: Shop, granted: Callable[..., Connection]) -> None:
    reader = granted("reader", ())
    assert not may(reader, compose.SQL("select * from aisle.recommend('ann')"))
    for statement in grants.missing_on_the_shop(full.connection, reader.info.user):
        full.execute(statement)
    for question in QUESTIONS:
        reader.execute(f"select * from aisle.{question}".encode())


def test_the_command_and_the_sql_that_it_prints_do_the_same(
    full: Shop, database_url: str, login: Callable[..., Connection]
) -> None:
    first, second = login(), login("usage on schema shop")
    arguments = ["--database-url", database_url, "grant", "--reader"]
    granted = CliRunner().invoke(aisle, [*arguments, first.info.user])
    assert granted.exit_code == 0, granted.output
    assert f"grant select (customer_id, product_id, visited_at, meal_time) on shop.visits to {first.info.user}" in (
        granted.output
    )
    printed = CliRunner().invoke(aisle, [*arguments, second.info.user, "--print-sql"])
    full.execute(printed.output)
    relations = objects(full.connection, RELATIONS)
    assert [allowed(first, r) for r in relations] == [allowed(second, r) for r in relations]
    assert callable_functions(first) == callable_functions(second)
    nobody = CliRunner().invoke(aisle, [*arguments, "nobody at all"])
    assert "create role" in str(cast(errors.AisleError, nobody.exception).hint)


# Row-level security


@pytest.fixture
def policed(full: Shop, granted: Callable[..., Connection]) -> Connection:
    """A reader from whom the shop hides the product 43, and of visits all but those of ann."""
    full.execute("delete from aisle._embedding_jobs; update shop.products set name = '녹차' where id in (41, 43, 44)")
    reader = granted("reader")
    full.execute(
        "alter table shop.products enable row level security;"
        "create policy shown on shop.products for select using (id <> 43);"
        "alter table shop.visits enable row level security;"
        "create policy own on shop.visits for select using (customer_id = 'ann')"
    )
    return reader


def items(connection: Connection, question: str) -> list[str]:
    query = f"select item_id from aisle.{question} order by rank"
    return [item for (item,) in connection.execute(query.encode())]


def test_what_a_policy_hides_is_no_answer(full: Shop, policed: Connection) -> None:
    load_tiny_recommender(
        full.connection,
        {
            41: (None, (2, 0), (0, 1)),
            43: (None, (9, 0), (1, 0)),
            42: (None, (1, 0), (1, 0)),
            44: (None, (0, 0), (0, 0)),
        },
    )
    load_tiny_basket(full.connection, {"43": (1, 0), "41": (1, 0), "42": (0, 1)}, {"bob": ((1, 0), ["42", "43"])})
    full.execute("update aisle.basket_items set co_purchase = taste")
    for question in (
        "similar_items(41, 2)", "similar_items(41, 2, 'basket')", "search_items('녹차', 2)",
        "recommend('ann', 3, exclude_seen => false)",
        "recommend('ann', 2)", "recommend('nobody', 3)",
        "next_basket('ann')", "next_basket('nobody')", "complete_basket(array['41'])",
    ):  # fmt: skip
        everything = items(full.connection, question)
        shown = items(policed, question)
        assert "43" in everything, question
        assert "43" not in shown, question
        assert len(shown) >= len(everything) - 1, f"{question}: another item takes its place."
    assert full.execute("select * from aisle.item_category(43)").fetchall()
    assert items(full.connection, "similar_items(43, space => 'basket')") == ["41", "42"]
    for question in ("item_category(43)", "similar_items(43)", "similar_items(43, space => 'basket')"):
        assert policed.execute(f"select * from aisle.{question}".encode()).fetchall() == [], question


def test_what_a_policy_hides_makes_room_for_what_is_seen(full: Shop, policed: Connection) -> None:
    full.insert_more(101, *["녹차"] * 50)
    full.execute("create policy few on shop.products as restrictive for select using (id < 100)")
    assert items(policed, "search_items('녹차', 2)") == ["41", "44"]
    assert items(policed, "similar_items(41, 5)") == ["44", "42"]


def test_an_event_that_a_policy_hides_counts_for_nothing(full: Shop, policed: Connection) -> None:
    full.execute("insert into shop.visits values ('eve', 41, now(), 'dinner')")
    assert "41" not in items(full.connection, "recommend('eve')"), "The owner sees that eve has seen it."
    assert items(policed, "recommend('eve')") == items(policed, "recommend('nobody')")
    assert items(policed, "recommend('eve')")[0] == "41"


def test_a_view_with_its_callers_rights_hides_what_its_table_hides(full: Shop, policed: Connection) -> None:
    full.execute(
        "select aisle.detach('items');"
        "create view shop.shown with (security_invoker = on) as table shop.products;"
        f"grant select on shop.shown to {policed.info.user}; grant select on shop.products to {policed.info.user}"
    )
    full.attach("shop.shown")
    full.execute("select aisle._enqueue_stale()")
    drain(full.connection, [ItemEmbedder()])
    assert items(full.connection, "similar_items(41, 1)") == ["43"]
    assert items(policed, "similar_items(41, 1)") == ["44"]


@pytest.mark.trap(25)
def test_an_application_that_may_only_write_needs_no_right_on_ours(
    full: Shop, login: Callable[..., Connection]
) -> None:
    """And where its search path leads first, or what is put beside pgvector fits better, triggers do not follow."""
    application = login("usage on schema shop", "all on shop.products", "usage, create on schema public")
    taken = "language plpgsql as $$ begin raise 'taken over'; end $$"
    for signature, returns in OVERLOADS.items():
        application.execute(f"create function public.{signature} returns {returns} {taken}".encode())
    for number, (operator, operands) in enumerate(OPERATORS):
        left, right = operands.split(", ")
        application.execute(
            f"create function public.taken_{number}({operands}) returns boolean {taken}; create operator"
            f" public.{operator} (leftarg = {left}, rightarg = {right}, function = public.taken_{number})".encode()
        )
    notices: list[str | None] = []
    application.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    application.execute("set search_path = public, pg_catalog")
    application.execute("insert into shop.products (id, name) values (7, 'tea'), (8, 'tea')")
    application.execute("update shop.products set name = '커피' where id = 7")
    application.execute("delete from shop.products where id = 8")
    assert full.jobs().keys() >= {"7"}
    assert "8" not in full.vectors()
    assert db.fetch_value(full.connection, "select origin from aisle.item_factors where item_id = '7'") == "draft"
    assert notices == []
    application.execute("drop owned by current_user")
