-- What `aisle recommend --why` prints: the three largest terms of each score, too.
select r.rank, r.item_id, i.name, r.score, w.why
from aisle.recommend(%(user)s, %(k)s, %(category)s, %(context)s, %(exclude_seen)s) r
left join lateral aisle._read_items(array[r.item_id]) i on true
left join lateral (
    select string_agg(concat_ws(' ', e.because, coalesce(past.name, e.value), round(e.share::numeric, 4)), ', ' order by e.share desc) as why
    from (select e.* from aisle.explain_recommendation(%(user)s, r.item_id, %(context)s) e
          where e.share >= .01 * r.score
          order by e.share desc limit 3) e
    left join lateral aisle._read_items(array[e.value]) past on e.because = 'item'
) w on true
order by r.rank
