-- A task is listed once it has a model, or while rows wait for it. The log tells of rows that wait even where no worker runs. Rows of
-- tables that no trigger watches are all compared with their vectors here. Percentiles weigh each sampled wait by the rows that it stands
-- for.
create or replace view aisle.freshness as
with tasks as (
    select t.task, t.place, t.follows, t.is_always_queued, t.is_always_listed,
           exists (select from aisle._models m where m.task = t.task and m.state in ('filling', 'ready')) as has_model
    from aisle._tasks t
    where t.follows is not null
), waiting as (
    select j.task, 1::bigint as rows, j.enqueued_at as since, j.attempts > 0 as is_retry, j.last_error
    from aisle._embedding_jobs j where not j.is_dead
    union all
    select t.task, greatest(cardinality(c.ids), 1), c.changed_at, false, null
    from aisle._changes c
    left join aisle._watches w on w.topic = c.topic
    join tasks t on t.follows = coalesce(w.kind, c.topic)
    where t.has_model or t.is_always_queued
    union all
    select u.task, u.rows, null, false, null
    from aisle._attachments a
    cross join lateral aisle._unnoticed_rows(a.kind) u
    where not a.is_paused and (a.unwatched <> '{}' or exists (select from aisle._lost_columns l where l.kind = a.kind))
), waits as (
    select b.task, wait, sum(b.rows::float8 / cardinality(b.waits)) over (partition by b.task order by wait) as up_to,
           sum(b.rows::float8 / cardinality(b.waits)) over (partition by b.task) as total
    from aisle._embedding_batches b, unnest(b.waits) wait
    where b.finished_at > aisle._now() - interval '1 hour'
), speeds as (
    select b.task, sum(b.rows) / greatest(extract(epoch from aisle._now() - min(b.finished_at)), 1)::float8 as rows_per_second
    from aisle._embedding_batches b
    where b.finished_at > aisle._now() - interval '1 minute'
    group by b.task
)
select t.task,
       coalesce(w.pending, 0) as pending,
       w.oldest_pending,
       coalesce(w.retrying, 0) as retrying,
       p.p50_seconds, p.p95_seconds, p.p99_seconds,
       s.rows_per_second,
       case when w.pending > 0 then w.pending / s.rows_per_second * interval '1 second' end as eta,
       w.last_error,
       c.finished_at as compared_at,
       coalesce(c.mended, 0) as mended
from tasks t
left join (
    select task, sum(rows)::bigint as pending, aisle._now() - min(since) as oldest_pending,
           count(*) filter (where is_retry) as retrying, max(last_error) as last_error
    from waiting group by task
) w using (task)
left join (
    select task, min(wait) filter (where up_to >= .5 * total) as p50_seconds,
           min(wait) filter (where up_to >= .95 * total) as p95_seconds,
           min(wait) filter (where up_to >= .99 * total) as p99_seconds
    from waits group by task
) p using (task)
left join speeds s using (task)
left join aisle._comparisons c using (task)
where t.has_model or t.is_always_listed or w.pending > 0
order by t.place;

comment on view aisle.freshness is
    'How far the vectors lag behind the shop''s rows, a row a task: rows that wait, and since when the oldest; over the last hour, '
    'the time from a change to its vector in half, 95 and 99 of 100 cases; the present speed, and when the queue will be empty; when '
    'all rows were last compared with their vectors, and how many differed although no trigger had told of it.';
