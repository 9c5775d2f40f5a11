create or replace view aisle.confusion as
with names as materialized (
    select n.category, n.name from aisle._category_names() n
), confused as (
    select h.category, h.predicted, count(*) as items, round(avg(h.confidence)::numeric, 3) as mean_confidence,
           array(select i.name from aisle._read_items((array_agg(h.item_id order by h.confidence desc))[:3]) i) as examples
    from aisle._heldout_predictions h
    join aisle._live_models l on l.model_id = h.model_id and l.task = 'category'
    where h.category <> h.predicted
    group by h.category, h.predicted
)
select coalesce(g.name, c.category) as category, coalesce(p.name, c.predicted) as predicted, c.items, c.mean_confidence, c.examples
from confused c
left join names g on g.category = c.category
left join names p on p.category = c.predicted
order by c.items desc, 1, 2;

comment on view aisle.confusion is
    'Which categories the live model confuses, on rows that it was not trained on, with its most confident mistakes as examples.';
