-- Turns entries of the log that name orders whose lines changed into entries that name their customers. By now those transactions have
-- committed: whoever an order belongs to is seen here, and a transaction that gives it to somebody else logs both by itself. Returns
-- whether there were any.
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
    select 'basket', array_agg(c.id), since
    from unnest(aisle._customers_of(orders)) with ordinality c (id, n)
    group by c.n / 100000;
    return true;
end
$function$;
