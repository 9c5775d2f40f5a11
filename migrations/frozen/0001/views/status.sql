create or replace view aisle.status as
select f.task,
       nullif(concat_ws(' and ', a.relation::text, case when f.task = 'recommender' then (
           select e.relation::text from aisle._attachments e where e.kind in ('interactions', 'orders') order by e.kind limit 1)
           end), '') as attached,
       l.model_id as live_model, m.encoder, m.metrics, f.pending, f.oldest_pending,
       f.p95_seconds, f.rows_per_second, f.eta, f.last_error,
       (select count(*) from aisle.failures d where d.task = f.task) as failures,
       v.vectors, v.drafts
from aisle.freshness f
left join aisle._attachments a on a.kind = case f.task when 'basket' then 'orders' else 'items' end
left join aisle._live_models l on l.task = f.task
left join aisle._models m on m.model_id = l.model_id
left join lateral (
    select count(*) as vectors, count(*) filter (where s.is_draft) as drafts
    from (select i.is_draft from aisle.item_vectors i where i.model_id = l.model_id
          union all
          select f.origin = 'draft' from aisle.item_factors f where f.model_id = l.model_id
          union all
          select false from aisle.customer_vectors c where c.model_id = l.model_id) s
) v on true;

comment on view aisle.status is 'One row a task: what is attached, which model answers, and whether the vectors keep up.';
