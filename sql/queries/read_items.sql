-- Rows for one generation, with their student's vectors.
select i.item_id, i.name, i.manufacturer, i.details, i.content_hash,
       aisle._embed(%(model_id)s, aisle._ngrams(i.name, i.manufacturer, i.details))::real[] as student
from aisle._read_items(%(ids)s) i
