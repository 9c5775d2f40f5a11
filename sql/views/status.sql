create or replace view aisle.status as
select f.task,
       nullif(concat_ws(' and ', a.relation::text, nullif(learned.relation::text, a.relation::text)), '') as attached,
       l.model_id as live_model, m.encoder, m.metrics, f.pending, f.oldest_pending,
       f.p95_seconds, f.rows_per_second, f.eta, f.last_error,
       (select count(*) from aisle.failures d where d.task = f.task) as failures,
       v.vectors, v.drafts
from aisle.freshness f
join aisle._tasks t on t.task = f.task
left join aisle._attachments a on a.kind = t.follows
left join lateral (
    select s.relation from aisle._attachments s where s.kind = any (t.learns_from) order by array_position(t.learns_from, s.kind) limit 1
) learned on true
left join aisle._live_models l on l.task = f.task
left join aisle._models m on m.model_id = l.model_id
left join lateral (
    select count(*) as vectors, count(*) filter (where r.is_draft) as drafts from aisle._row_vectors r where r.model_id = l.model_id
) v on true
order by t.place;

comment on view aisle.status is 'A row a task: what is attached, which model answers, and how far its vectors lag.';
