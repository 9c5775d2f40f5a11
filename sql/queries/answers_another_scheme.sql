-- Whether a category model was trained on other categories than those that the items have now: paths with another separator, paths instead
-- of ids of the shop's table or the reverse, or labels most of which the model does not know.
select coalesce((m.parameters ->> 'category_ids')::boolean, false) <> aisle._has_tree()
       or not aisle._has_tree() and m.parameters ->> 'category_separator' <> a.category_separator
       or (select 2 * count(c.category) < count(*)
           from aisle._items i
           left join aisle.category_vectors c on c.model_id = m.model_id and c.category = i.category
           where i.category is not null)
from aisle._models m, aisle._attachments a
where m.model_id = %(model_id)s and a.kind = 'items'
