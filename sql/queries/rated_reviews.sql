-- Every review with a rating that tells, and its n-grams, in an order that depends only on texts and ratings. The n-grams are cut after
-- sorting.
select encode(r.text_hash, 'hex') as item_id, r.review as name, null::text as manufacturer, null::text as details,
       case when r.is_liked then 'liked' else 'not liked' end as category, null::text as content_hash,
       aisle._ngrams(r.review, null, null) as ngrams
from (
    select e.review, aisle._content_hash(e.review, null, null) as text_hash, rated.is_liked
    from aisle._interactions e
    cross join lateral aisle._is_liked_rating(e.rating, %(rule)s) rated (is_liked)
    where rated.is_liked is not null and e.review is not null and aisle._words(e.review) <> '{}'
    order by 2, 3
) r
