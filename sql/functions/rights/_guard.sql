-- Returns true, or raises an error if reading the attached relations would run code of others with the caller's rights. Code that reads
-- them on Aisle's behalf calls this in the same transaction, before the server plans the query that reads: in a statement of its own, or
-- as `where (select aisle._guard())` in a query whose rows come only from our functions, which plan their queries when they are called.
create or replace function aisle._guard() returns boolean
language plpgsql volatile
as $function$
begin
    -- A table's columns run no code of others; a query, or a condition, may.
    perform aisle._refuse_foreign_code(r.relation)
    from aisle._attachments a
    join pg_class c on c.oid = a.relation
    cross join lateral unnest(case when a.looks_up or c.relkind = 'v' then array[to_regclass('aisle._' || a.kind)]
                                   else array[a.relation, a.lines] end) r (relation);
    return true;
end
$function$;
