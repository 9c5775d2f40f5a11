"""The invariants: one function each, a query of the database itself.

Every message names rows and says what it means that they are there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection
from aisle.embedder.category_model import Generation

SAMPLE = 100  # rows whose vectors are computed again
TOLERANCE = 1e-3  # of a vector whose length is about 1
BF16_TOLERANCE = 0.03  # eight bits, and another batch rounds elsewhere
SHOWN = 20  # ids in a message

# The generations whose vectors are kept in step, the ids that wait, and each row's hash: shared by the checks.
_STATE = """
with generation as (
    select model_id, encoder from aisle._models where task = 'category' and state in ('filling', 'ready')
), waiting as (
    select id from aisle._embedding_jobs where task = 'category'
    union
    select unnest(ids) from aisle._changes where topic = 'items'
), content as (
    select item_id, aisle._content_hash(name, manufacturer, details) as hash from aisle._items
)
"""


def _ids(connection: Connection, query: str, parameters: Sequence[Any] = ()) -> list[str]:
    return [id_ for (id_,) in connection.execute((_STATE + query).encode(), parameters or None).fetchall()]


def lost(connection: Connection) -> list[str]:
    """Rows without a current vector in some generation, without a job or a dead letter."""
    return _ids(
        connection,
        "select item_id from content where item_id not in (select id from waiting) and exists ("
        "  select from generation g"
        "  left join aisle.item_vectors v on v.model_id = g.model_id and v.item_id = content.item_id"
        "  where v.item_id is null or v.is_draft or v.content_hash <> content.hash)",
    )


def orphans(connection: Connection) -> list[str]:
    """Vectors and predictions of deleted rows, without a job to remove them."""
    return _ids(
        connection,
        "select item_id from (select item_id from aisle.item_vectors union select item_id from aisle._item_predictions)"
        " derived where item_id not in (select item_id from content) and item_id not in (select id from waiting)",
    )


def stale(connection: Connection) -> list[str]:
    """Rows whose vector, in some generation, is that of another content, whether somebody will repair it or not."""
    return _ids(
        connection,
        "select distinct v.item_id from content join aisle.item_vectors v using (item_id)"
        " join generation g using (model_id) where v.content_hash <> content.hash",
    )


def pending(connection: Connection) -> int:
    """How many rows wait for a worker, dead letters not counted; a TRUNCATE that no worker has seen counts as one."""
    return int(
        db.fetch_value(
            connection,
            "select (select count(*) from aisle._embedding_jobs where not is_dead)"
            " + (select coalesce(sum(greatest(cardinality(ids), 1)), 0) from aisle._changes)",
        )
    )


def who_waits(connection: Connection) -> list[Any]:
    """Jobs that are not done, alike ones together, and the log; for a message that says why a queue is stuck."""
    return [
        *connection.execute(
            "select count(*), min(id) as id, priority, attempts, is_dead, max(run_after) - clock_timestamp() as due_in,"
            " max(leased_until) - clock_timestamp() as leased_for, max(last_error)"
            " from aisle._embedding_jobs where not is_dead group by priority, attempts, is_dead, lease_token limit 20"
        ).fetchall(),
        ("log", db.fetch_value(connection, "select count(*) from aisle._changes")),
    ]


def dead(connection: Connection) -> dict[str, str]:
    """The rows that were given up, and why."""
    return dict(connection.execute("select id, last_error from aisle.failures").fetchall())


def check_every_row_is_current_or_accounted_for(connection: Connection) -> None:
    """I1."""
    ids = lost(connection)
    assert not ids, f"{len(ids)} rows are lost: no current vector, no job, no dead letter: {ids[:SHOWN]}"
    visible = db.fetch_value(
        connection, "select count(*) from aisle._embedding_jobs j where is_dead and not exists ("
        "select from aisle.failures f where f.id = j.id and f.last_error is not null)"
    )  # fmt: skip
    assert visible == 0, f"{visible} dead letters are not shown by aisle.failures, or without a reason."


def check_vectors_are_those_of_the_committed_rows(connection: Connection, *, seed: int = 7) -> None:
    """I2. By their hashes all, by the encoder itself a sample; the queue must be empty."""
    waiting = pending(connection)
    assert waiting == 0, f"I2 is about an empty queue; {waiting} rows still wait."
    given_up = dead(connection)
    ids = [id_ for id_ in stale(connection) if id_ not in given_up]
    assert not ids, f"{len(ids)} vectors are stale: computed from a content that is not the row's: {ids[:SHOWN]}"
    ids = orphans(connection)
    assert not ids, f"{len(ids)} orphans: a vector or prediction whose row is gone: {ids[:SHOWN]}"
    jobs = _ids(connection, "select id from waiting where id not in (select item_id from content)")
    assert not jobs, f"{len(jobs)} jobs or dead letters are of rows that are gone: {jobs[:SHOWN]}"
    for (model_id,) in connection.execute(
        "select model_id from aisle._models where task = 'category' and state in ('filling', 'ready')"
    ).fetchall():
        _check_sample(connection, model_id, given_up, seed)


def _check_sample(connection: Connection, model_id: int, given_up: dict[str, str], seed: int) -> None:
    generation = Generation.load(connection, model_id)
    rows = connection.execute(
        "select i.item_id, i.name, i.manufacturer, i.details, v.embedding::real[],"
        " aisle._embed(v.model_id, aisle._ngrams(i.name, i.manufacturer, i.details))::real[]"
        " from aisle._items i join aisle.item_vectors v on v.item_id = i.item_id and v.model_id = %s"
        " where i.item_id <> all (%s) order by md5(i.item_id || %s) limit %s",
        [model_id, list(given_up), str(seed), SAMPLE],
    ).fetchall()
    assert rows, f"Generation {model_id} has no vectors to check."
    stored = np.array([row[4] for row in rows], np.float32)
    ngrams = np.array([row[5] for row in rows], np.float32)
    expected = generation.embed(generation.tokenise([(row[1], row[2], row[3]) for row in rows]), ngrams)
    tolerance = _tolerance() if generation.encoder else TOLERANCE
    far = np.abs(stored - expected).max(axis=1)
    wrong = [f"{row[0]} ({row[1]!r}, off by {by:.4f})" for row, by in zip(rows, far, strict=True) if by > tolerance]
    assert not wrong, f"{len(wrong)} of {len(rows)} vectors of generation {model_id} are not what it computes: {wrong}"
    assert _typical_distance(expected) > 3 * tolerance, (
        "Vectors of other texts are too near for this check to find them."
    )


def _tolerance() -> float:
    from aisle.embedder.encoders import bf16_is_native

    return BF16_TOLERANCE if bf16_is_native() else TOLERANCE


def _typical_distance(vectors: npt.NDArray[np.float32]) -> float:
    """The median distance, in the largest component, between a vector and the next."""
    if len(vectors) < 2:
        return float("inf")
    return float(np.median(np.abs(vectors[1:] - vectors[:-1]).max(axis=1)))


def check_nothing_was_passed_by(connection: Connection) -> None:
    """The workers' comparison found nothing: triggers logged every change."""
    mended = connection.execute("select task, mended from aisle._comparisons where mended > 0").fetchall()
    assert mended == [], (
        f"Vectors were out of step with their rows, and nothing waited that would have mended them: {mended}"
    )


def check_only_the_live_generation_answers(connection: Connection, *, seed: int = 7) -> None:
    """I3. Each answer is that of the live generation's categories to its own vector of the row, and of nothing else."""
    live = db.fetch_value(connection, "select model_id from aisle._live_models where task = 'category'")
    head = Generation.load(connection, live).head
    rows = connection.execute(
        "select item_id, embedding::real[] from aisle.item_vectors where model_id = %s"
        " order by md5(item_id || %s) limit 20",
        [live, str(seed)],
    ).fetchall()
    assert rows, f"The live generation {live} has no vectors."
    confidences = head.confidences(np.array([vector for _, vector in rows], np.float32))
    for (item_id, _), expected in zip(rows, confidences, strict=True):
        answer = dict(
            connection.execute(
                "select category, confidence from aisle.item_category(%s::text, 100000)", [item_id]
            ).fetchall()
        )
        foreign = answer.keys() - set(head.categories)
        assert not foreign, f"Item {item_id} is answered with categories of another generation than {live}: {foreign}"
        got = np.array([answer[category] for category in head.categories])
        assert np.abs(got - expected).max() < TOLERANCE, f"The answer for item {item_id} is not generation {live}'s."


def check_only_rows_at_fault_were_charged(connection: Connection, first_poison_id: int) -> None:
    """I4. The queue forgets finished jobs, so this reads the test's own log."""
    charged = connection.execute("select distinct id, error from chaos.charges").fetchall()
    innocent = [f"{id_}: {error}" for id_, error in charged if int(id_) < first_poison_id]
    assert not innocent, f"Attempts were charged to rows that have no fault of their own: {innocent[:SHOWN]}"
    given_up = [id_ for id_ in dead(connection) if int(id_) < first_poison_id]
    assert not given_up, f"Rows without a fault were given up: {given_up[:SHOWN]}"


def check_the_shop_was_not_disturbed(
    failures: Sequence[str], deadlocks: int, longest_wait: float, latencies: dict[str, float] | Any
) -> None:
    """I5. `failures` are those that no injected stop of the server explains; waits in seconds, latencies in ms."""
    assert not failures, f"{len(failures)} transactions of the shop failed: {failures[:SHOWN]}"
    assert deadlocks == 0, f"The server resolved {deadlocks} deadlocks, see its log."
    # TRUNCATE waits for a frozen worker's lock on the table until the server ends its session, after three seconds.
    assert longest_wait < 4, f"A statement of the shop waited {longest_wait:.1f} s for a lock that a worker held."
    assert latencies["p50"] < 500, f"The shop's transactions are slow: {latencies}"
    assert latencies["p99"] < 5000, f"The shop's transactions are slow at times: {latencies}"
