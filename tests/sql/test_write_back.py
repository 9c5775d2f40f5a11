"""Categories that go back to the shop: what is written, by whose rights, and what may be learned from it."""

from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.types.json import Jsonb

from aisle.cli import aisle
from aisle.trainers.category.products import read_catalogue
from tests.conftest import Shop, load_tiny_model

COLUMN = {"column": "category_id", "threshold": 0.51}
STATEMENT = "insert into shop.in_category (product, category) values ($1, $2)"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """Products 1 (녹차), 2 (커피) and 4 are to be labelled, 3 is bread; the tiny model's labels are ids."""
    shop.execute(
        "create schema shop;"
        " create table shop.category (id integer primary key, parent_id integer, name text);"
        " insert into shop.category values (1, null, '음료'), (11, 1, '차'), (12, 1, '커피'), (2, null, '빵'),"
        " (9, null, 'All');"
        " create table shop.products (id bigint primary key, name text, price integer,"
        " category_id integer references shop.category deferrable initially deferred);"
        " insert into shop.products (id, name, category_id)"
        " values (1, '녹차', null), (2, '커피', 9), (3, '식빵', 2), (4, 'x', 9)"
    )
    model = load_tiny_model(shop.connection)
    for name, label in ((model.tea, 11), (model.coffee, 12), (model.bread, 2)):
        shop.execute("update aisle.category_vectors set category = %s where category = %s", [str(label), name])
    shop.execute("""update aisle._models set parameters = parameters || '{"category_ids": true}'""")
    return shop


def attach(shop: Shop, **further: Any) -> None:
    shop.execute(
        "select aisle.attach_items('shop.products', category => 'category_id', categories => %s,"
        " unlabelled => '{All}')",
        [Jsonb({"table": "shop.category"} | further)],
    )


def write_back(shop: Shop, settings: Any) -> str:
    said: str = shop.value("select aisle.set_write_back(%s)", [Jsonb(settings)])
    return said


def categories(shop: Shop) -> dict[int, int | None]:
    return dict(shop.execute("select id, category_id from shop.products").fetchall())


def apply(shop: Shop, **named: Any) -> dict[str, tuple[bool, str | None]]:
    slots = ", ".join(f"{name} => %s" for name in named)
    rows = shop.execute(f"select item_id, is_written, problem from aisle.apply_categories({slots})", [*named.values()])
    return {item: (is_written, problem) for item, is_written, problem in rows.fetchall()}


def applied(shop: Shop) -> dict[str, tuple[str, str, str]]:
    rows = shop.execute("select item_id, category, category_id, state from aisle.applied_categories").fetchall()
    return {item: (category, label, state) for item, category, label, state in rows}


def test_what_is_unlabelled_is_filled_and_recorded(shop: Shop) -> None:
    attach(shop)
    write_back(shop, COLUMN)
    assert apply(shop, dry_run=True) == {"1": (False, None), "2": (False, None), "4": (False, "not sure enough")}
    assert categories(shop) == {1: None, 2: 9, 3: 2, 4: 9}
    assert apply(shop) == {"1": (True, None), "2": (True, None), "4": (False, "not sure enough")}
    assert categories(shop) == {1: 11, 2: 12, 3: 2, 4: 9}
    assert applied(shop) == {"1": ("음료 > 차", "11", "untouched"), "2": ("음료 > 커피", "12", "untouched")}
    assert apply(shop, ids=["1", "3", "4"]) == {"4": (False, "not sure enough")}


def test_undo_takes_back_what_nobody_touched(shop: Shop) -> None:
    attach(shop)
    write_back(shop, COLUMN | {"threshold": 0})
    apply(shop)
    assert shop.value("select aisle.confirm_categories('{1, 3, 9}')") == 1
    shop.execute("update shop.products set category_id = 2 where id = 2")
    assert {item: state for item, (_, _, state) in applied(shop).items()} == {
        "1": "confirmed", "2": "changed", "4": "untouched",
    }  # fmt: skip
    model = shop.value("select aisle._live_model('category')")
    assert shop.value("select aisle.undo_categories(%s)", [model]) == 1
    assert categories(shop) == {1: 11, 2: 2, 3: 2, 4: 9}, "What stood there is back."
    assert "4" not in applied(shop)


@pytest.mark.parametrize("unlabelled", ["차", "11"])
def test_a_category_that_means_none_is_not_written_though_the_model_learned_it(shop: Shop, unlabelled: str) -> None:
    attach(shop)
    shop.execute("select aisle.pause('items')")
    shop.execute(
        "select aisle.attach_items('shop.products', category => 'category_id', categories => %s, unlabelled => %s)",
        [Jsonb({"table": "shop.category"}), ["All", unlabelled]],
    )
    write_back(shop, COLUMN)
    assert apply(shop)["1"] == (False, "the model says a category that means none")
    assert categories(shop)[1] is None


def test_a_statement_writes_to_a_table_of_items_categories_and_is_taken_back(shop: Shop) -> None:
    shop.execute("create table shop.in_category (product bigint, category integer references shop.category)")
    shop.execute(
        "select aisle.attach_items('shop.products', categories => %s)",
        [Jsonb({"table": "shop.category", "of_item": "shop.in_category(product, category)"})],
    )
    write_back(shop, {"statement": STATEMENT, "threshold": 0.51})
    assert [item for item, (is_written, _) in apply(shop).items() if is_written] == ["1", "2", "3"]
    assert shop.execute("select * from shop.in_category order by 1").fetchall() == [(1, 11), (2, 12), (3, 2)]
    assert shop.value("select aisle.undo_categories(aisle._live_model('category'))") == 3
    assert shop.execute("select * from shop.in_category").fetchall() == []


def test_a_category_that_was_deleted_since_is_taken_back(shop: Shop) -> None:
    shop.execute("create table shop.in_category (product bigint, category integer)")
    of_item = {"table": "shop.category", "of_item": "shop.in_category(product, category)"}
    shop.execute("select aisle.attach_items('shop.products', categories => %s)", [Jsonb(of_item)])
    write_back(shop, {"statement": STATEMENT, "threshold": 0.51})
    apply(shop)
    shop.execute("delete from shop.category where id = 12; update shop.in_category set category = 9 where product = 3")
    assert shop.value("select aisle.undo_categories(aisle._live_model('category'))") == 2
    assert shop.execute("select * from shop.in_category").fetchall() == [(3, 9)]


@pytest.mark.parametrize(("settings", "message"), [
    ({}, "Name the column"), ({"column": "category_id"}, "how sure"),
    ({"column": "x", "threshold": 0.5}, "no column x"),
    ({"column": "category_id", "threshold": 2}, "between 0 and 1"), ({"colour": 1}, "no setting colour"),
    ([], "a JSON object"), ({"column": "name", "threshold": 0.5}, "not where the categories of the items stand"),
    ({"statement": "select $1, $2", "threshold": 0}, "one INSERT, UPDATE or DELETE"),
    ({"statement": "insert into shop.category values ($1)", "threshold": 0}, "must name"),
    ({"statement": "insert into shop.category values ($1, $2); select 1", "threshold": 0}, "cannot be read"),
])  # fmt: skip
def test_wrong_settings_are_named(shop: Shop, settings: Any, message: str) -> None:
    attach(shop)
    with pytest.raises(psycopg.Error, match=message) as caught:
        write_back(shop, settings)
    assert caught.value.sqlstate in ("AIS05", "AIS06")


def test_a_precision_is_a_confidence_for_each_category_that_has_enough_held_out_items(shop: Shop) -> None:
    attach(shop)
    model = shop.value("select aisle._live_model('category')")
    # Of tea, the surest 30 of 40 answers are right; of coffee there are too few.
    shop.execute(
        "insert into aisle._heldout_predictions"
        " select %s, 't' || n, case when n <= 30 then '11' else '2' end, '11', (100 - n) / 100.0, .1, '11'"
        " from generate_series(1, 40) n"
        " union all select %s, 'c' || n, '12', '12', .2, .1, '12' from generate_series(1, 10) n",
        [model, model],
    )
    write_back(shop, {"column": "category_id", "at_precision": 1})
    threshold = "select aisle._write_threshold(%s, %s)"
    assert shop.value(threshold, [model, "11"]) == pytest.approx(0.7)
    assert shop.value(threshold, [model, "12"]) == pytest.approx(0.7), "All answers together."
    write_back(shop, {"column": "category_id", "at_precision": 0.75})
    assert shop.value(threshold, [model, "11"]) == pytest.approx(0.6)
    assert shop.value(threshold, [model, "12"]) == pytest.approx(0.2)
    shop.execute("update aisle._heldout_predictions set category = '2'; delete from aisle._write_thresholds")
    assert shop.value(threshold, [model, "11"]) > 1, "Never."


def test_new_rows_get_their_category_at_commit(shop: Shop) -> None:
    attach(shop)
    assert "when they are committed" in write_back(shop, COLUMN | {"at_commit": True})
    with shop.connection.transaction():
        shop.execute("insert into shop.products values (5, '녹차', 1, null), (6, '커피', 1, 2), (7, 'x', 1, 9)")
        shop.execute("insert into shop.products values (8, '커피')")
        shop.execute("update shop.products set category_id = 2 where id = 8")
        assert categories(shop)[5] is None
    assert categories(shop) == {1: None, 2: 9, 3: 2, 4: 9, 5: 11, 6: 2, 7: 9, 8: 2}
    assert applied(shop).keys() == {"5"}
    shop.execute("select aisle.pause('items'); select aisle.resume('items')")
    shop.execute("insert into shop.products values (10, '커피', 5)")
    assert categories(shop)[10] == 12
    shop.execute("select aisle.set_write_back(null); insert into shop.products values (11, '커피', 5)")
    assert categories(shop)[11] is None


def test_nothing_stops_the_shops_commit(shop: Shop) -> None:
    attach(shop)
    write_back(shop, COLUMN | {"at_commit": True})
    warnings: list[str] = []
    shop.connection.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
    shop.execute("alter table shop.products add constraint few check (category_id <> 11)")
    shop.execute("insert into shop.products values (5, '녹차')")
    assert (categories(shop)[5], len(warnings)) == (None, 1)
    assert "few" in warnings.pop()
    shop.execute("alter table shop.products drop constraint few; delete from aisle._deployments")
    shop.execute("insert into shop.products values (6, '녹차')")
    assert (categories(shop)[6], len(warnings)) == (None, 1)
    assert "No category model is live" in warnings.pop()
    assert applied(shop) == {}


def test_an_error_of_a_deferred_constraint_is_caught(shop: Shop) -> None:
    shop.execute("create table shop.in_category (product bigint, category integer)")
    shop.execute("create table shop.shelf (id integer primary key); insert into shop.shelf values (2), (12)")
    shop.execute(
        "alter table shop.in_category add foreign key (category) references shop.shelf deferrable initially deferred"
    )
    of_item = {"table": "shop.category", "of_item": "shop.in_category(product, category)"}
    shop.execute("select aisle.attach_items('shop.products', categories => %s)", [Jsonb(of_item)])
    write_back(shop, {"statement": STATEMENT, "threshold": 0.51, "at_commit": True})
    warnings: list[str] = []
    shop.connection.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
    with shop.connection.transaction():
        shop.execute("insert into shop.products values (5, '녹차'), (6, '커피')")
    assert shop.execute("select * from shop.in_category").fetchall() == [(6, 12)]
    assert ["foreign key" in warning for warning in warnings] == [True]
    assert apply(shop, ids=["1"])["1"][0] is False


def test_many_new_rows_are_left_to_the_command(shop: Shop) -> None:
    attach(shop)
    write_back(shop, COLUMN | {"at_commit": True})
    shop.execute("insert into shop.products select n, '녹차' from generate_series(100, 399) n")
    assert 1 <= shop.value("select count(*) from shop.products where category_id = 11") <= 100
    shop.execute("insert into shop.products values (500, '녹차')")
    assert categories(shop)[500] == 11, "Another transaction has its own."


def test_what_aisle_wrote_is_no_label_until_somebody_agrees(shop: Shop) -> None:
    attach(shop)
    write_back(shop, COLUMN)
    apply(shop)
    assert shop.value("select category from aisle._items where item_id = '1'") == "11", "It counts elsewhere."

    def labels() -> dict[str, str | None]:
        catalogue = read_catalogue(shop.connection, split_column=None, seed=0)
        return dict(zip(catalogue.item_ids, catalogue.categories, strict=True))

    assert labels() == {"1": None, "2": None, "3": "2", "4": None}
    shop.execute("select aisle.confirm_categories('{1}'); update shop.products set category_id = 11 where id = 2")
    assert labels() == {"1": "11", "2": "11", "3": "2", "4": None}
    shop.execute("select aisle.detach('items')")
    attach(shop)
    shop.execute("update shop.products set category_id = 12 where id = 2")
    assert labels()["2"] is None, "Whoever detaches does not make labels of guesses."


# Rights


def test_code_of_others_is_not_run_with_our_rights(shop: Shop, login: Any) -> None:
    owner = login("all on schema shop", "all on shop.category").info.user
    shop.execute(f"alter table shop.products owner to {owner}; grant create on schema shop to {owner}")
    attach(shop)
    write_back(shop, COLUMN | {"at_commit": True})  # a table without code
    shop.execute(f"set role {owner}")
    shop.execute(
        "create function shop.steal() returns trigger language plpgsql as $$"
        " begin execute 'alter role ' || session_user || ' set work_mem = 1'; return new; end $$;"
        " create trigger steal before update on shop.products for each row execute function shop.steal()"
    )
    shop.execute("reset role")
    warnings: list[str] = []
    shop.connection.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
    shop.execute("insert into shop.products values (5, '녹차')")
    assert categories(shop)[5] is None
    assert "would run code of others" in warnings[-1]
    for call in ("apply_categories()", "undo_categories(1)", "set_write_back(%s)"):
        with pytest.raises(psycopg.Error, match=r"the trigger steal, which calls shop\.steal") as caught:
            shop.execute(f"select aisle.{call}", [Jsonb(COLUMN)] if "%s" in call else None)
        assert caught.value.sqlstate == "AIS09"
    shop.execute("select aisle.detach('items')")


def test_a_statement_calls_no_function_of_others(shop: Shop, login: Any) -> None:
    attach(shop)
    owner = login("all on schema shop").info.user
    shop.execute("create function shop.of(text) returns integer language sql as 'select 11'")
    shop.execute(f"alter function shop.of owner to {owner}")
    statement = "update shop.products set category_id = shop.of($2) where id = $1"
    with pytest.raises(psycopg.Error, match=r"the statement, which calls shop\.of") as caught:
        write_back(shop, {"statement": statement, "threshold": 0.5})
    assert caught.value.sqlstate == "AIS09"


def test_a_partitioned_table_gets_categories_at_commit(shop: Shop) -> None:
    shop.execute(
        "drop table shop.products; create table shop.products (id bigint primary key, name text, price integer,"
        " category_id integer) partition by range (id);"
        " create table shop.products_1 partition of shop.products for values from (0) to (100)"
    )
    attach(shop)
    write_back(shop, COLUMN | {"at_commit": True})
    shop.execute("insert into shop.products values (5, '녹차')")
    assert categories(shop) == {5: 11}
    shop.execute("select aisle.detach('items')")
    shop.execute("insert into shop.products values (6, '녹차')")
    assert categories(shop) == {5: 11, 6: None}


def test_who_inserts_needs_no_right_on_categories(shop: Shop, login: Any) -> None:
    attach(shop)
    write_back(shop, COLUMN | {"at_commit": True})
    clerk = login("usage on schema shop", "insert on shop.products")
    clerk.execute("insert into shop.products values (5, '녹차')")
    assert categories(shop)[5] == 11


def test_an_item_added_by_the_statement_itself_is_no_endless_circle(shop: Shop) -> None:
    attach(shop)
    statement = (
        "insert into shop.products (id, name)"
        " select $1::bigint + 1000, p.name from shop.products p where p.id = $1 and $2 > 0"
    )
    write_back(shop, {"statement": statement, "threshold": 0.5, "at_commit": True})
    shop.execute("insert into shop.products values (5, '녹차')")
    assert shop.value("select count(*) from shop.products") <= 110


# The commands


def test_the_commands_fill_and_take_back(shop: Shop, database_url: str) -> None:
    attach(shop)
    write_back(shop, COLUMN)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(aisle, ["--database-url", database_url, *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    shown = run("apply", "category", "--dry-run")
    assert "음료 > 차" in shown
    assert "3 items without a category; 2 would be written; 1 not sure enough." in shown
    assert categories(shop)[1] is None
    assert "1 items without a category; 1 written." in run("apply", "category", "--limit", "1")
    assert "2 items without a category; 1 written; 1 not sure enough." in run("apply", "category")
    assert "2 categories taken back." in run("undo", "category", "--model", "1")
    assert categories(shop) == {1: None, 2: 9, 3: 2, 4: 9}
    shop.execute("select aisle.set_write_back(null)")
    failed = CliRunner().invoke(aisle, ["--database-url", database_url, "apply", "category"])
    assert isinstance(failed.exception, psycopg.Error)
    assert failed.exception.sqlstate == "AIS02"


def test_a_statement_writes_nothing_over_what_the_shop_has_given(shop: Shop) -> None:
    """A category that does not count leaves the item without one, but it was given."""
    attach(shop, where="id <> 11")
    shop.execute("update shop.products set category_id = 11 where id = 1")
    write_back(shop, {"statement": "update shop.products set category_id = $2 where id = $1", "threshold": 0})
    found = apply(shop)
    assert found["1"] == (False, "it has a category, be it one that does not count")
    assert found["2"] == (True, None), "All means none."
    assert categories(shop)[1] == 11


def test_of_several_categories_undo_takes_back_ours(shop: Shop) -> None:
    shop.execute("create table shop.in_category (product bigint, category integer, primary key (product, category))")
    shop.execute("alter table shop.products drop category_id")
    shop.execute(
        "select aisle.attach_items('shop.products', categories => %s)",
        [Jsonb({"table": "shop.category", "of_item": "shop.in_category(product, category)"})],
    )
    write_back(shop, {"statement": STATEMENT, "threshold": 0})
    assert apply(shop, ids=["1"])["1"] == (True, None)
    shop.execute("insert into shop.in_category values (1, 2)")  # of the same depth or not: ours is still ours
    assert shop.value("select aisle.undo_categories(%s)", [shop.value("select aisle._live_model('category')")]) == 1
    assert shop.execute("select * from shop.in_category").fetchall() == [(1, 2)]


def test_nothing_is_applied_while_the_items_are_paused(shop: Shop, database_url: str) -> None:
    attach(shop)
    write_back(shop, COLUMN)
    shop.execute("select aisle.pause('items')")
    with pytest.raises(psycopg.Error, match="The items are paused"):
        apply(shop)
    result = CliRunner().invoke(aisle, ["--database-url", database_url, "apply", "category"])
    assert "The items are paused." in str(result.exception)


def test_a_write_back_whose_table_is_gone_says_so(shop: Shop) -> None:
    shop.execute("create table shop.in_category (product bigint, category integer)")
    attach(shop)
    write_back(shop, {"statement": STATEMENT, "threshold": 0})
    shop.execute("drop table shop.in_category cascade")
    with pytest.raises(psycopg.Error, match="no longer exists"):
        apply(shop)
