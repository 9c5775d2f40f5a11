-- What `aisle next-basket --why` prints: the three largest terms of each score, too.
select b.rank, b.item_id, i.name, b.probability, b.bought_before, b.score, w.why
from aisle.next_basket(%(user)s, %(k)s) b
left join lateral aisle._read_items(array[b.item_id]) i on true
left join lateral (
    select string_agg(concat_ws(' ', e.because, round(e.share::numeric, 4)), ', ' order by e.share desc) as why
    from (select e.* from aisle.explain_basket(%(user)s, b.item_id) e where e.because <> 'order' order by e.share desc limit 3) e
) w on true
order by b.rank
