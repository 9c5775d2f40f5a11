"""Deploying and rolling back: at once, for everybody, and never two generations in one answer."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.trainers.run import only_trainer
from tests.conftest import Shop, TinyModel, load_tiny_recommender

LoadModel = Callable[..., TinyModel]
# The number of dimensions tells which generation answered.
ANSWERED_BY = "select public.vector_dims(aisle.embed_text('녹차'))"


def dimensions(connection: Connection) -> int:
    row = connection.execute(ANSWERED_BY, prepare=True).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.trap(20)
def test_a_deploy_and_a_rollback_are_visible_to_prepared_statements_at_once(
    connection: Connection, database_url: str, load_model: LoadModel
) -> None:
    load_model(dimensions=2)
    with db.connect(database_url) as application:
        for _ in range(12):  # long enough for the server to settle on one plan
            assert dimensions(application) == 2
        load_model(dimensions=3)
        assert dimensions(application) == 3
        connection.execute("select aisle.rollback('category')")
        assert dimensions(application) == 2


@pytest.mark.trap(21)
def test_a_deploy_that_is_rolled_back_leaves_the_old_generation(
    connection: Connection, database_url: str, load_model: LoadModel
) -> None:
    load_model(dimensions=2)
    later = load_model(dimensions=3, deploy=False)
    with db.connect(database_url) as application:
        with connection.transaction(force_rollback=True):
            connection.execute("select aisle.deploy(%s)", [later.model_id])
            assert dimensions(connection) == 3
            assert dimensions(application) == 2, "A deploy must not be seen before it is committed."
        assert dimensions(connection) == dimensions(application) == 2


@pytest.mark.trap(21)
def test_rollback_goes_down_the_stack_and_does_not_swing(shop: Shop, load_model: LoadModel) -> None:
    for size in (2, 3, 4):
        load_model(dimensions=size)
    for size in (3, 2):
        assert "answers for category again" in shop.value("select aisle.rollback('category')")
        assert dimensions(shop.connection) == size
    with pytest.raises(psycopg.Error, match="no earlier deployment") as caught:
        shop.execute("select aisle.rollback('category')")
    assert caught.value.sqlstate == "AIS07"
    assert dimensions(shop.connection) == 2


def test_a_model_can_be_deployed_again_after_a_rollback(shop: Shop, load_model: LoadModel) -> None:
    first, second = load_model(dimensions=2), load_model(dimensions=3)
    shop.execute("select aisle.rollback('category')")
    shop.execute("select aisle.deploy(%s)", [second.model_id])
    assert dimensions(shop.connection) == 3
    shop.execute("select aisle.rollback('category')")
    assert dimensions(shop.connection) == 2
    live = shop.execute("select model_id, is_live from aisle.deployments order by deployment_id").fetchall()
    assert live == [(first.model_id, True), (second.model_id, False), (second.model_id, False)]


@pytest.mark.parametrize("state", ["loading", "filling", "failed"])
def test_only_a_ready_model_can_be_deployed(shop: Shop, load_model: LoadModel, state: str) -> None:
    model = load_model(deploy=False)
    shop.execute("update aisle._models set state = %s", [state])
    with pytest.raises(psycopg.Error, match=f"is {state}, not ready") as caught:
        shop.execute("select aisle.deploy(%s)", [model.model_id])
    assert caught.value.sqlstate == "AIS07"


def test_deploying_an_unknown_model(shop: Shop) -> None:
    with pytest.raises(psycopg.Error, match="There is no model 9") as caught:
        shop.execute("select aisle.deploy(9)")
    assert caught.value.sqlstate == "AIS07"


@pytest.mark.trap(19)
@pytest.mark.parametrize("table", ["item_vectors", "category_vectors", "ngram_vectors"])
def test_a_generation_refuses_other_dimensions(shop: Shop, load_model: LoadModel, table: str) -> None:
    model = load_model(dimensions=2)
    values = {
        "item_vectors": "(model_id, item_id, embedding, content_hash, is_draft) values (%s, 'x', %s, '', false)",
        "category_vectors": "(model_id, category_id, category, path, embedding, bias, support) "
        "values (%s, 99, 'x', '{x}', %s, 0, 1)",
        "ngram_vectors": "(model_id, ngram, embedding) values (%s, 'x', %s)",
    }[table]
    shop.execute(f"insert into aisle.{table} {values}", [model.model_id, "[1,2]"])
    for wrong in ("[1]", "[1,2,3]"):
        with pytest.raises(psycopg.errors.CheckViolation):
            shop.execute(f"insert into aisle.{table} {values.replace('x', 'y')}", [model.model_id, wrong])
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        shop.execute(f"insert into aisle.{table} {values}", [model.model_id + 1, "[1,2]"])


@pytest.mark.trap(19)
def test_generations_of_the_same_dimensions_are_not_mixed(shop: Shop, load_model: LoadModel) -> None:
    shop.create()
    shop.attach()
    old = load_model()
    shop.insert("녹차", "커피")
    new = load_model()
    answers = {
        "similar_items(1)": shop.execute("select * from aisle.similar_items(1)").fetchall(),
        "search_items('tea')": shop.execute("select * from aisle.search_items('tea')").fetchall(),
    }
    assert answers == {"similar_items(1)": [], "search_items('tea')": []}, (
        f"Model {new.model_id} has no vectors of items yet; these are of model {old.model_id}."
    )
    # The category of a row is answered by the new model's ngrams until its vectors are there.
    assert shop.value("select category from aisle.item_category(1)") == TinyModel.tea
    shop.execute(
        "update aisle.category_vectors set bias = bias + 100 where model_id = %s and category = '빵'", [old.model_id]
    )
    assert shop.value("select category from aisle.predict_category('녹차')") == TinyModel.tea


def test_a_generation_can_be_dropped_unless_it_is_live(shop: Shop, load_model: LoadModel) -> None:
    old, new = load_model(dimensions=2), load_model(dimensions=3)
    with pytest.raises(psycopg.Error, match="is live") as caught:
        shop.execute("select aisle._drop_model(%s)", [new.model_id])
    assert caught.value.sqlstate == "AIS07"
    shop.execute("select aisle._drop_model(%s)", [old.model_id])
    assert shop.execute("select model_id, state from aisle.models").fetchall() == [(new.model_id, "live")]
    left = shop.value("select count(*) from pg_class where relname ~ %s", [f"vectors_{old.model_id}$"])
    assert left == 0, "The partitions of a dropped model must go with it."
    with pytest.raises(psycopg.Error, match="no earlier deployment"):
        shop.execute("select aisle.rollback('category')")


def test_the_search_of_a_generation_goes_with_it(shop: Shop) -> None:
    search = "select array_agg(proname::text) from pg_proc where proname ~ '^_nearest_factors_'"
    old, new = (load_tiny_recommender(shop.connection, {}) for _ in range(2))
    assert set(shop.value(search)) == {f"_nearest_factors_{old}", f"_nearest_factors_{new}"}
    shop.execute("select aisle._drop_model(%s)", [old])
    assert shop.value(search) == [f"_nearest_factors_{new}"]


def test_a_model_that_lost_is_deployed_only_by_force(shop: Shop, load_model: LoadModel) -> None:
    live, lost = load_model(dimensions=2), load_model(dimensions=3, deploy=False)
    shop.execute(
        "update aisle._models set passed_gate = false, verdict = 'its accuracy is lower' where model_id = %s",
        [lost.model_id],
    )
    with pytest.raises(psycopg.Error, match="lost: its accuracy is lower") as caught:
        shop.execute("select aisle.deploy(%s, force => null)", [lost.model_id])
    assert caught.value.sqlstate == "AIS07"
    assert f"aisle deploy {lost.model_id} --force" in str(caught.value.diag.message_hint)
    assert dimensions(shop.connection) == live.dimensions
    shop.execute("select aisle.deploy(%s, force => true)", [lost.model_id])
    assert dimensions(shop.connection) == lost.dimensions


def test_a_second_deploy_of_the_same_model_is_none(shop: Shop, load_model: LoadModel) -> None:
    old, new = load_model(dimensions=2), load_model(dimensions=3)
    assert (
        shop.value("select aisle.deploy(%s)", [new.model_id]) == f"Model {new.model_id} answers for category already."
    )
    assert shop.value("select aisle.rollback('category')") == f"Model {old.model_id} answers for category again."


def test_a_rollback_leads_to_another_model(shop: Shop, load_model: LoadModel) -> None:
    """Of the deployments 1, 2, 3, 2, the third went with its model."""
    one, two, three = load_model(dimensions=2), load_model(dimensions=3), load_model(dimensions=4)
    shop.execute("select aisle.deploy(%s)", [two.model_id])
    shop.execute("select aisle._drop_model(%s)", [three.model_id])
    assert shop.value("select aisle.rollback('category')") == f"Model {one.model_id} answers for category again."
    assert dimensions(shop.connection) == one.dimensions
    with pytest.raises(psycopg.Error, match="no earlier deployment"):
        shop.execute("select aisle.rollback('category')")


# ---- prune ----


def left(shop: Shop) -> set[int]:
    return {row[0] for row in shop.execute("select model_id from aisle._models").fetchall()}


def test_prune_keeps_what_answers_what_a_rollback_leads_to_and_the_newest(shop: Shop, load_model: LoadModel) -> None:
    """Models 1 to 3 have answered, and 4, which was rolled back; 5 to 7 are ready; 8 is failed."""
    for _ in range(4):
        load_model(dimensions=2)
    shop.execute("select aisle.rollback('category')")
    for _ in range(4):
        load_model(dimensions=3, deploy=False)
    shop.execute("update aisle._models set state = 'failed' where model_id = 8")
    said = [row[0] for row in shop.execute("select aisle.prune('category')").fetchall()]
    assert left(shop) == {2, 3, 6, 7}
    assert [line.split(" is removed")[0] for line in said] == [
        "Model 1 (category, ready)", "Model 4 (category, ready)", "Model 5 (category, ready)",
        "Model 8 (category, failed)",
    ]  # fmt: skip
    assert all(line.endswith("kB freed.") for line in said)
    tables = {n for (n,) in shop.execute("select split_part(relname, '_', 3)::int from pg_class where relispartition"
                                         " and relkind = 'r' and relname ~ '^(item|ngram)_vectors'")}  # fmt: skip
    assert tables == {2, 3, 6, 7}
    shop.execute("select aisle.rollback('category')")
    assert shop.value("select model_id from aisle._live_models") == 2

    assert len(shop.execute("select aisle.prune(keep => 1)").fetchall()) == 2
    assert left(shop) == {2, 7}, "The live model and the newest."
    assert shop.execute("select aisle.prune(keep => 1)").fetchall() == []
    with pytest.raises(psycopg.Error, match="keep must be at least 1"):
        shop.execute("select aisle.prune(keep => 0)")


@pytest.mark.parametrize("call", ["prune('%s')", "rollback('%s')", "requeue_failures('%s')"])
def test_a_task_that_there_is_not_is_refused(shop: Shop, call: str) -> None:
    with pytest.raises(psycopg.Error, match="There is no task 'categories'") as caught:
        shop.execute(f"select aisle.{call % 'categories'}")
    assert caught.value.sqlstate == "AIS06"
    assert "category, recommender" in str(caught.value.diag.message_hint)


def test_prune_keeps_the_model_by_which_a_recommender_reads_texts(shop: Shop, load_model: LoadModel) -> None:
    texts, *_ = load_model(), load_model()
    shop.create()
    shop.attach()
    recommender = load_tiny_recommender(shop.connection, {})
    shop.execute(
        "update aisle._models set parameters = parameters || jsonb_build_object('text_model', %s::int)"
        " where model_id = %s",
        [texts.model_id, recommender],
    )
    assert shop.execute("select aisle.prune(keep => 1)").fetchall() == []


def test_prune_leaves_what_a_training_run_is_loading(shop: Shop, database_url: str, load_model: LoadModel) -> None:
    loading = load_model(deploy=False)
    shop.execute("update aisle._models set state = 'loading'")
    with db.connect(database_url) as other, only_trainer(other, "recommender"):
        assert shop.execute("select aisle.prune()").fetchall() == []
    assert left(shop) == {loading.model_id}
    shop.execute("select aisle.prune()")
    assert left(shop) == set()


def test_a_long_query_is_not_stopped_and_stops_nobody(
    shop: Shop, database_url: str, load_model: LoadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To drop a partition is to lock the whole table: who waited for that would hold up everybody else."""
    old, live = load_model(dimensions=2), load_model(dimensions=3)
    monkeypatch.setattr(model_registry, "PATIENCE", 0.3)
    with db.connect(database_url, application_name="report") as other, other.transaction():
        other.execute("select count(*) from aisle.item_vectors")
        with pytest.raises(errors.BusyError, match=rf"in use \(server process {other.info.backend_pid}, report, since"):
            model_registry.prune(shop.connection, "category", 1)
        assert dimensions(shop.connection) == live.dimensions
        model_registry.deploy(shop.connection, old.model_id)  # a deploy needs nothing that a query holds
        model_registry.rollback(shop.connection, "category")
    model_registry.prune(shop.connection, "category", 1)
    assert left(shop) == {live.model_id}


def test_what_of_a_model_is_in_use_goes_later(
    shop: Shop, database_url: str, load_model: LoadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, live = load_model(dimensions=2), load_model(dimensions=3)
    monkeypatch.setattr(model_registry, "PATIENCE", 0)
    timeout = shop.value("show lock_timeout")
    with db.connect(database_url) as other, other.transaction():
        other.execute("select count(*) from aisle.ngram_vectors")
        said = shop.value("select aisle.prune(keep => 1)")
        assert said.startswith("Model 1 (category, ready) is in use, and removed in part: ")
        with pytest.raises(errors.BusyError, match="Model 1 cannot be removed"):
            model_registry.prune(shop.connection, None, 1)
        with pytest.raises(errors.ModelStateError, match="Model 1 is failed"):
            model_registry.deploy(shop.connection, old.model_id)
        assert dimensions(shop.connection) == live.dimensions
    assert shop.value("show lock_timeout") == timeout
    (said,) = model_registry.prune(shop.connection, None, 1)
    assert said.startswith("Model 1 (category, failed) is removed: ")
    assert left(shop) == {live.model_id}


@pytest.mark.parametrize(
    "tables", list(itertools.permutations(("item_vectors", "category_vectors", "ngram_vectors"), 2))
)
def test_a_model_is_removed_while_clients_never_stop_asking(
    tables: tuple[str, str], shop: Shop, database_url: str, load_model: LoadModel
) -> None:
    """A question takes one table after the other; who waits for the one with the other in hand is never done."""
    old, live = load_model(dimensions=2), load_model(dimensions=3)
    stop = threading.Event()

    def ask() -> None:
        with db.connect(database_url) as application:
            while not stop.is_set():
                with application.transaction():
                    for table in tables:
                        application.execute(f"select count(*), pg_sleep(0.005) from aisle.{table}".encode())

    with ThreadPoolExecutor() as threads:
        clients = [threads.submit(ask) for _ in range(4)]
        try:
            model_registry.drop(shop.connection, old.model_id)
        finally:
            stop.set()
        for client in clients:
            client.result()
    assert left(shop) == {live.model_id}


def test_of_two_deploys_the_second_waits_and_says_for_whom(
    shop: Shop, database_url: str, load_model: LoadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = load_model(dimensions=2, deploy=False), load_model(dimensions=3, deploy=False)
    monkeypatch.setattr(model_registry, "PATIENCE", 0)
    with db.connect(database_url, application_name="aisle deploy") as other:
        with other.transaction():
            other.execute("select aisle.deploy(%s)", [first.model_id])
            process = f"server process {other.info.backend_pid}, aisle deploy, since"
            for action in (
                lambda: model_registry.deploy(shop.connection, second.model_id),
                lambda: model_registry.rollback(shop.connection, "category"),
                lambda: model_registry.prune(shop.connection, None, 1),
            ):
                with pytest.raises(errors.BusyError, match=process):
                    action()
        model_registry.deploy(shop.connection, second.model_id)
    assert dimensions(shop.connection) == second.dimensions
