create or replace view aisle.category_report as
with names as materialized (
    select n.category, n.path from aisle._category_names() n
), paths as materialized (
    select v.category, coalesce(n.path, v.path) as path, m.parameters ->> 'category_separator' as separator
    from aisle._live_models l
    join aisle._models m on m.model_id = l.model_id
    join aisle.category_vectors v on v.model_id = l.model_id
    left join names n on n.category = v.category
    where l.task = 'category'
), answers as (
    select n.level, array_to_string(given.path[:n.level], given.separator) as category,
           array_to_string(found.path[:n.level], found.separator) as predicted
    from aisle._heldout_predictions h
    join aisle._live_models l on l.model_id = h.model_id and l.task = 'category'
    join paths given on given.category = h.category
    join paths found on found.category = h.predicted
    -- A category that ends above a level counts as itself there, as in predict_category(level => …).
    cross join lateral generate_series(1, (select max(cardinality(p.path)) from paths p)) n (level)
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
