-- Returns an expression over the rows of a relation, as an administrator wrote it, with the schema of every name that is not PostgreSQL's
-- own: so it means the same on every search path. Names without a schema are PostgreSQL's, else those of the schema public. Refuses code
-- of others, and a condition that is no boolean. `purpose` is what the expression was declared as. The row is called r, which a query
-- within the expression may need.
create or replace function aisle._qualified(target regclass, expression text, purpose text, is_condition boolean default true)
returns text
language plpgsql volatile
as $function$
declare
    qualified text;
begin
    if expression is null then
        return null;
    end if;
    perform aisle._execute_in_public(format('create view aisle._probe as select (%s) as aisle_expression from %s r', expression, target));
    perform aisle._refuse_foreign_code('aisle._probe');
    if is_condition then
        execute 'select from aisle._probe where aisle_expression limit 0';
    end if;
    qualified := '(' || (regexp_match(pg_get_viewdef('aisle._probe'::regclass), '^\s*SELECT (.*) AS aisle_expression\s+FROM '))[1] || ')';
    drop view aisle._probe;
    return qualified;
exception
    -- The class of all errors in the text of a statement, and a constant that its type does not have, such as an enum's former value.
    when syntax_error_or_access_rule_violation or invalid_text_representation then
        raise exception '% cannot be read: %.', purpose, sqlerrm
            using errcode = 'AIS05', hint = 'It is an expression over the columns of a row, such as: active and deleted_at is null';
end
$function$;
