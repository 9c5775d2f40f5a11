-- Reads items for one generation of the recommender: whether their vectors are up to date; if not, what its tower reads, or, for a model
-- without a tower, the vectors of the neighbours.
select r.item_id, aisle._path_of(r.category, %(separator)s) as path, r.category || %(separator)s as category_key,
       r.factor_hash as content_hash, r.is_current, text_vector.embedding as text, near.embedding as near,
       near.in_embedding as near_in
from (
    select i.item_id, i.name, i.manufacturer, i.details, i.category, factor_hash,
           not %(anew)s and f.item_id is not null as is_current
    from aisle._read_items(%(ids)s) i
    cross join lateral aisle._factor_hash(i.content_hash, i.category) factor_hash
    left join aisle.item_factors f
        on f.item_id = i.item_id and f.model_id = %(model_id)s and f.content_hash = factor_hash and f.origin <> 'draft'
    where (select aisle._guard())
) r
left join lateral (
    select aisle._embed(%(text_model)s, aisle._ngrams(r.name, r.manufacturer, r.details)) as embedding
    where not r.is_current
) text_vector on true
left join lateral aisle._text_neighbours(%(model_id)s, %(text_model)s, r.item_id, text_vector.embedding) near
    on not %(has_tower)s and not r.is_current
