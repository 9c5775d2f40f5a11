-- The distinct texts of reviews that have no telling rating and that a preference model has not labelled. A review without a word needs no
-- label.
select distinct aisle._content_hash(e.review, null, null) as text_hash, e.review
from aisle._interactions e
where e.review is not null
  and aisle._is_liked_rating(e.rating, (select m.parameters -> 'liked' from aisle._models m where m.model_id = %(model_id)s)) is null
  and aisle._words(e.review) <> '{}'
  and not exists (
      select from aisle._review_labels l
      where l.model_id = %(model_id)s and l.text_hash = aisle._content_hash(e.review, null, null))
