-- Returns true, or raises an error if reading the attached relations would run code of others with the caller's rights. Code that reads
-- them on Aisle's behalf calls this in the same transaction, before the server plans the query that reads: in a statement of its own, or
-- as `where (select aisle._guard())` in a query whose rows come only from our functions, which plan their queries when they are called.
create or replace function aisle._guard() returns boolean
language plpgsql volatile
as $function$
begin
    -- A condition may run code, too.
    perform aisle._refuse_foreign_code(case when a.looks_up or a.declaration ? 'categories' then to_regclass('aisle._' || a.kind) else a.relation end),
            aisle._refuse_foreign_code(a.lines)
    from aisle._attachments a;
    perform aisle._refuse_foreign_code(t.relation) from (select distinct unnest(w.reads) from aisle._watches w) t (relation);
    return true;
end
$function$;
