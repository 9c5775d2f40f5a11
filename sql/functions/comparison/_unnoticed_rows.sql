-- Counts, by task, the rows of a kind whose vectors are out of date although nothing waits that would renew them. None where the caller may
-- not read the rows, or where they cannot be read.
create or replace function aisle._unnoticed_rows(kind text) returns table (task text, rows bigint)
language plpgsql volatile
as $function$
begin
    return query
        select s.task, count(*)
        from aisle._stale_rows(kind) s
        where not exists (select from aisle._embedding_jobs j where j.task = s.task and j.id = s.id)
        group by s.task;
exception
    when insufficient_privilege or undefined_table or undefined_column or data_exception or sqlstate 'AIS09' then
        return;
end
$function$;
