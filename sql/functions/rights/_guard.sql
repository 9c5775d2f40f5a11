-- True, or an error where others' code would run with the caller's rights if the attached relations were read. For whoever reads them on
-- Aisle's behalf, in the transaction that does, before the query that does is planned: as a statement of its own, or where rows come from
-- our functions alone, which plan their queries when they are called, as `where (select aisle._guard())`.
create or replace function aisle._guard() returns boolean
language plpgsql volatile
as $function$
begin
    perform aisle._refuse_foreign_code(a.relation), aisle._refuse_foreign_code(a.lines) from aisle._attachments a;
    return true;
end
$function$;
