-- Returns a query as an administrator wrote it, with the schema of every name that is not PostgreSQL's own, as aisle._qualified does.
create or replace function aisle._qualified_query(query text, kind text) returns text
language plpgsql volatile
as $function$
declare
    qualified text;
begin
    if query is null then
        return null;
    end if;
    -- Alone, it might be several statements.
    perform aisle._execute_in_public(format('create view aisle._probe as select from (%s) q', rtrim(query, e'; \n\t')));
    drop view aisle._probe;
    perform aisle._execute_in_public('create view aisle._probe as ' || rtrim(query, e'; \n\t'));
    perform aisle._refuse_foreign_code('aisle._probe');
    qualified := rtrim(pg_get_viewdef('aisle._probe'::regclass), ';');
    drop view aisle._probe;
    return qualified;
exception
    when syntax_error_or_access_rule_violation then
        raise exception 'The query of the % cannot be read: %.', kind, sqlerrm using errcode = 'AIS05',
            hint = 'Run the query alone. If a migration changed what it reads, declare it anew: aisle attach -f FILE';
end
$function$;
