-- The answers of a category model for held-out rows, with the names of the categories.
with names as materialized (
    select n.category, n.name from aisle._category_names() n
)
select h.item_id, coalesce(g.name, h.category), coalesce(p.name, h.predicted), h.confidence, h.given_confidence
from aisle._heldout_predictions h
left join names g on g.category = h.category
left join names p on p.category = h.predicted
where h.model_id = %(model_id)s
order by h.item_id
