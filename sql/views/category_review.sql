-- "Probably mislabelled" is confident learning (Northcutt, Jiang and Chuang, JAIR 2021): a held-out row whose label is not the predicted
-- category, with a confidence that is at least the average confidence of that category's own rows.
create or replace view aisle.category_review as
with live as (
    select l.model_id from aisle._live_models l where l.task = 'category'
), usual as (
    select h.category, avg(h.given_confidence) as confidence
    from aisle._heldout_predictions h
    join live using (model_id)
    group by h.category
), findings as (
    select 'probably mislabelled' as reason, h.item_id, h.category, h.predicted, h.confidence
    from aisle._heldout_predictions h
    join live using (model_id)
    join usual u on u.category = h.predicted
    where h.predicted <> h.category and h.confidence >= u.confidence
    union all
    select case when p.category <> p.ngram_category then 'encoder and n-gram model disagree' else 'low confidence' end,
           p.item_id, null, p.category, p.confidence
    from aisle._item_predictions p
    join live using (model_id)
    where p.category <> p.ngram_category or p.confidence < 0.5
), names as materialized (
    select n.category, n.name from aisle._category_names() n
)
select f.reason, f.item_id, i.name, coalesce(g.name, i.category) as category, coalesce(p.name, f.predicted) as predicted, f.confidence
from findings f
join aisle._read_items(array(select item_id from findings)) i on i.item_id = f.item_id
left join names g on g.category = i.category
left join names p on p.category = f.predicted
left join aisle._applied_categories own on own.item_id = i.item_id and own.category = i.category and own.confirmed_at is null
where f.category is not distinct from case when own.item_id is null then i.category end;

comment on view aisle.category_review is
    'Items that a person should look at: rows that are probably mislabelled, and rows without a category for which the model is '
    'unsure or the encoder and the n-gram model disagree.';
