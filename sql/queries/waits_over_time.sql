-- How long changes waited for their vectors, by steps of time. Percentiles weigh each sampled wait by the rows that it stands for, as in
-- aisle.freshness.
with waits as (
    select b.task, date_bin(%(step)s, b.finished_at, 'epoch') as at, wait, b.rows::float8 / cardinality(b.waits) as weight
    from aisle._embedding_batches b, unnest(b.waits) wait
), running as (
    select w.*, sum(w.weight) over (partition by w.task, w.at order by w.wait) as up_to,
           sum(w.weight) over (partition by w.task, w.at) as total
    from waits w
)
select task, at, round(max(total))::bigint as rows,
       min(wait) filter (where up_to >= .5 * total) as p50_seconds,
       min(wait) filter (where up_to >= .95 * total) as p95_seconds,
       min(wait) filter (where up_to >= .99 * total) as p99_seconds
from running
group by task, at
order by task, at
