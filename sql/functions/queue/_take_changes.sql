-- Takes the oldest entries out of the log, up to about 20,000 ids: those about watched rows, or all others. Skips entries that another
-- worker is taking.
create or replace function aisle._take_changes(watched boolean) returns setof aisle._changes
language plpgsql volatile
as $function$
#variable_conflict use_column
begin
    return query
        with locked as (
            select change_id, ids from aisle._changes
            where (topic in (select w.topic from aisle._watches w)) = watched order by change_id limit 1000 for update skip locked
        ), oldest as (
            select change_id, sum(cardinality(ids)) over (order by change_id) - cardinality(ids) as before from locked
        )
        delete from aisle._changes
        where change_id = any (array(select change_id from oldest where before < 20000))
        returning *;
end
$function$;
