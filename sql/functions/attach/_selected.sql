-- Writes a list of columns and expressions of a relation or query, each with the name of its role.
create or replace function aisle._selected(target regclass, roles jsonb) returns text
language plpgsql volatile
as $function$
begin
    return (select string_agg(format('%s as %I', case
                when aisle._is_expression(target, c.value)
                then aisle._qualified(target, c.value, quote_literal(c.value), is_condition => false)
                else format('r.%I', c.value) end, c.key), ', ')
            from jsonb_each_text(roles) c);
end
$function$;
