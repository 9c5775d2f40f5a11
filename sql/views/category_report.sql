create or replace view aisle.category_report as
with answers as (
    select n.level, array_to_string(given.path[:n.level], m.parameters ->> 'category_separator') as category,
           array_to_string(found.path[:n.level], m.parameters ->> 'category_separator') as predicted
    from aisle._heldout_predictions h
    join aisle._live_models l on l.model_id = h.model_id and l.task = 'category'
    join aisle._models m on m.model_id = h.model_id
    join aisle.category_vectors given on given.model_id = h.model_id and given.category = h.category
    join aisle.category_vectors found on found.model_id = h.model_id and found.category = h.predicted
    -- A category that ends above a level counts as itself there, as in predict_category(level => …).
    cross join lateral generate_series(1, (
        select max(cardinality(v.path)) from aisle.category_vectors v where v.model_id = h.model_id)) n (level)
), counted as (
    select a.level, c.category,
           count(*) filter (where a.category = c.category) as support,
           count(*) filter (where a.predicted = c.category) as predicted,
           count(*) filter (where a.category = c.category and a.predicted = c.category) as correct
    from answers a
    cross join lateral (select a.category union select a.predicted) c
    group by a.level, c.category
)
select level, category, correct / nullif(predicted, 0)::double precision as precision,
       correct / nullif(support, 0)::double precision as recall,
       2 * correct / nullif(support + predicted, 0)::double precision as f1, support
from counted
order by level, support desc, category;

comment on view aisle.category_report is
    'Precision, recall, F1 and support of each category at each level of its path, on rows that the live model was not '
    'trained on.';
