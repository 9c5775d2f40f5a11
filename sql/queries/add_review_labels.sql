-- Stores a preference model's labels of texts. Two processes may label at once.
insert into aisle._review_labels (model_id, text_hash, is_liked, confidence)
select %(model_id)s, l.text_hash, l.is_liked, l.confidence
from unnest(%(text_hashes)s::bytea[], %(is_liked)s::boolean[], %(confidences)s::real[]) as l (text_hash, is_liked, confidence)
on conflict do nothing
