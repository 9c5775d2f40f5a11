create or replace function aisle.explain_basket(user_id text, item_id text)
returns table (because text, value text, share double precision)
language sql stable parallel safe rows 6
begin atomic
    select t.because, round(t.fact::numeric, 3)::text, t.share
    from aisle._next_basket(aisle._live_model('basket'), user_id, 10000) b
    cross join lateral unnest(
        array['order', 'popularity', 'neighbours', 'network', 'links', 'repeats', 'timing'], b.terms, b.facts) t (because, share, fact)
    where b.item_id = explain_basket.item_id and t.share <> 0
    order by t.share desc, t.because;
end;

comment on function aisle.explain_basket(text, text) is
    'Why next_basket scores an item so for a customer now: the terms whose sum is the score. because is repeats (value: how often it was '
    'bought), timing (days since then, or orders), neighbours (the share of similar customers who bought it next), network (the '
    'customer''s state and the item''s vector), links (what products of the last orders lead to), popularity (share of all '
    'orders), or order (its size, their number, and a constant).';

create or replace function aisle.explain_basket(user_id bigint, item_id bigint)
returns table (because text, value text, share double precision)
language sql stable parallel safe rows 6
begin atomic
    select e.because, e.value, e.share from aisle.explain_basket(user_id::text, item_id::text) e;
end;

comment on function aisle.explain_basket(bigint, bigint) is
    'Why next_basket scores an item so for a customer now: the terms whose sum is the score. because is repeats (value: how often it was '
    'bought), timing (days since then, or orders), neighbours (the share of similar customers who bought it next), network (the '
    'customer''s state and the item''s vector), links (what products of the last orders lead to), popularity (share of all '
    'orders), or order (its size, their number, and a constant).';
