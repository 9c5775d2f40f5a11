-- True, or an error where others' code would run with the caller's rights if the attached relations were read. For whoever reads them on
-- Aisle's behalf, in the transaction that does: `where (select aisle._guard())` is asked before a row is read.
create or replace function aisle._guard() returns boolean
language plpgsql volatile
as $function$
begin
    perform aisle._refuse_foreign_code(a.relation), aisle._refuse_foreign_code(a.lines) from aisle._attachments a;
    return true;
end
$function$;
