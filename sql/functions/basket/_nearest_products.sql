-- Returns the k products whose vectors have the largest inner product with a customer's state; null without a state.
create or replace function aisle._nearest_products(model_id integer, state @vector@.vector, k integer) returns text[]
language plpgsql stable strict parallel safe
set hnsw.iterative_scan = 'strict_order'
set hnsw.ef_search = 100
as $function$
declare
    found text[];
begin
    execute format(
        'select array(select b.item_id from aisle.%1$I b
                      order by b.embedding::@vector@.halfvec(%2$s) operator(@vector@.<#>) $1::@vector@.halfvec(%2$s) limit $2)',
        'basket_items_' || model_id, @vector@.vector_dims(state))
    into found using state, k;
    return found;
end
$function$;
