create or replace view aisle.freshness as
select t.task, count(j.id) as pending, aisle._now() - min(j.enqueued_at) as oldest_pending,
       count(*) filter (where j.attempts > 0) as retrying, max(j.last_error) as last_error
from (values ('category')) t (task)
left join aisle._embedding_jobs j on j.task = t.task and not j.is_dead
group by t.task;

comment on view aisle.freshness is 'How far the vectors lag behind the shop''s rows: jobs waiting, and the age of the oldest.';
