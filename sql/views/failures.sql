create or replace view aisle.failures as
select j.task, j.id, j.attempts, j.last_error, j.enqueued_at
from aisle._embedding_jobs j
where j.is_dead;

comment on view aisle.failures is
    'Rows that the worker gave up, each with its last error. aisle.requeue_failures() queues them again.';
