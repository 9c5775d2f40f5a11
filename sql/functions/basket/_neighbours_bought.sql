-- What the most similar customers bought next: for each item, the share of these neighbours who bought it, each weighted by the square of
-- the cosine of its long-term vector and the customer's. To measure a model, it counts only customers of whom everything was known before
-- a moment, or leaves out those that `heldout_of` is measured on. The statement names the partition, so that the partition's index can
-- answer.
create or replace function aisle._neighbours_bought(
    model_id integer, user_id text, taste @vector@.vector, neighbours integer, known_before double precision,
    heldout_of integer)
returns table (item_id text, share double precision)
language plpgsql stable parallel safe
set hnsw.iterative_scan = 'strict_order'
set hnsw.ef_search = 220  -- more than the neighbours: to go on, an iterative scan searches as long once more
as $function$
begin
    if taste is null then
        return;
    end if;
    return query execute format(
        'with about as materialized (
             select c.next_items, -(c.taste operator(@vector@.<#>) $1) as cosine
             from aisle.%1$I c
             where c.taste is not null and c.user_id is distinct from $2 %3$s %4$s
             order by c.taste::@vector@.halfvec(%2$s) operator(@vector@.<#>) $1::@vector@.halfvec(%2$s)
             limit $3 + 10  -- the index sorts by half-precision vectors, whose order is only nearly right
         ), near as materialized (
             select a.next_items, greatest(a.cosine, 0) ^ 2 as weight from about a order by a.cosine desc limit $3)
         select i.item_id, sum(n.weight) / greatest((select sum(weight) from near), 1e-9)
         from near n, unnest(n.next_items) i (item_id)
         group by i.item_id',
        'customer_vectors_' || model_id, @vector@.vector_dims(taste),
        case when known_before is not null then 'and c.known_at < $4' end,
        case when heldout_of is not null then
            'and not exists (select from aisle._heldout_users h where h.model_id = $5 and h.user_id = c.user_id)' end)
    using taste, user_id, neighbours, known_before, heldout_of;
end
$function$;
