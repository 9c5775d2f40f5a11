-- Creates a function that runs one statement with two parameters, whose types the statement tells.
create or replace function aisle._create_writer(name text, statement text) returns void
language plpgsql volatile
as $function$
declare
    written constant text := rtrim(statement, e'; \n\t');
    types text[];
begin
    begin
        if written ~ ';' then
            raise exception 'it must be one statement' using errcode = 'syntax_error';
        end if;
        perform aisle._execute_in_public('prepare aisle_probe as ' || written);
        types := (select array(select t.t::text from unnest(p.parameter_types) t (t)) from pg_prepared_statements p where p.name = 'aisle_probe');
        deallocate aisle_probe;
        if cardinality(types) <> 2 then
            raise exception 'it must name $1, the item, and $2, the category' using errcode = 'syntax_error';
        end if;
        perform aisle._execute_in_public(format(
            'create function aisle.%I(%s, %s) returns void language sql volatile begin atomic %s; end', name, types[1], types[2], written));
    exception when syntax_error_or_access_rule_violation then
        raise exception 'The statement that writes a category cannot be read: %.', sqlerrm
            using errcode = 'AIS05', hint = 'For example: insert into product_category_product (product_id, product_category_id) values ($1, $2)';
    end;
end
$function$;
