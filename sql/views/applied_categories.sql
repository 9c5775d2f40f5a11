create or replace view aisle.applied_categories as
with names as materialized (
    select n.category, n.name from aisle._category_names() n
)
select a.item_id, i.name, coalesce(n.name, a.category) as category, case when n.name is not null then a.category end as category_id,
       a.model_id, a.confidence, a.applied_at,
       case when i.item_id is null then 'gone' when i.category is distinct from a.category then 'changed'
            when a.confirmed_at is not null then 'confirmed' else 'untouched' end as state
from aisle._applied_categories a
left join aisle._read_items(array(select r.item_id from aisle._applied_categories r)) i on i.item_id = a.item_id
left join names n on n.category = a.category;

comment on view aisle.applied_categories is
    'The categories that Aisle wrote to the shop''s items, and whether a person has confirmed or changed them since. Those that nobody '
    'touched are no labels for training and measuring.';
