-- Turns entries of the log that name orders into entries that name the orders' customers. It runs after those transactions have
-- committed, so it sees whose each order is. A transaction that gives an order to another customer logs both by itself. Returns whether
-- there were any entries.
create or replace function aisle._resolve_lines() returns boolean
language plpgsql volatile
as $function$
#variable_conflict use_column
declare
    orders text[];
    since timestamptz;
begin
    with locked as (
        select change_id, ids from aisle._changes where topic = 'lines' order by change_id limit 1000 for update skip locked
    ), oldest as (
        select change_id, sum(cardinality(ids)) over (order by change_id) - cardinality(ids) as before from locked
    ), taken as (
        delete from aisle._changes
        where change_id = any (array(select change_id from oldest where before < 20000))
        returning ids, changed_at
    )
    select array(select distinct id from taken, unnest(ids) id), (select min(changed_at) from taken) into orders, since;
    if since is null then
        return false;
    end if;
    insert into aisle._changes (topic, ids, changed_at)
    select 'orders', array_agg(c.id), since
    from unnest(aisle._customers_of(orders)) with ordinality c (id, n)
    group by c.n / 100000;
    return true;
end
$function$;
