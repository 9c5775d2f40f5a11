-- Returns the expression that turns a column of the shop's into text: the same text in every session, and without code that the owner of
-- the column's type could have defined. A cast may be such code, so types that are not PostgreSQL's own are written by their output
-- function, which `format` calls. Raises an error for a type that is no text.
create or replace function aisle._text_of(target regclass, column_name text, row_name text) returns text
language plpgsql stable
as $function$
declare
    operand constant text := format('%s.', row_name) || quote_ident(column_name);
    base oid;
    kind "char";
    builtin boolean;
    element oid;
    name text;
    expression text;
begin
    if column_name is null then
        return 'null::text';
    end if;
    with recursive types as (
        select a.atttypid as oid from pg_attribute a where a.attrelid = target and a.attname = column_name
        union all
        select t.typbasetype from types join pg_type t on t.oid = types.oid where t.typtype = 'd'
    )
    select t.oid, t.typtype, t.typnamespace = 'pg_catalog'::regnamespace, t.typelem, format_type(t.oid, null)
    into base, kind, builtin, element, name
    from types join pg_type t on t.oid = types.oid where t.typtype <> 'd';
    expression := case
        when base = any ('{text,varchar,bpchar,name,smallint,integer,bigint,numeric,uuid,boolean,json,jsonb,xml,inet,cidr,'
                         'macaddr,time,timetz,tsvector}'::regtype[]::oid[]) then operand || '::text'
        when base = any ('{real,double precision,money}'::regtype[]::oid[]) then operand || '::numeric::text'
        when base = 'date'::regtype then format('to_char(%s, ''YYYY-MM-DD'')', operand)
        when base = 'timestamp'::regtype then format('to_char(%s, ''YYYY-MM-DD HH24:MI:SS.US'')', operand)
        when base = 'timestamptz'::regtype then format('to_char(%s at time zone ''UTC'', ''YYYY-MM-DD HH24:MI:SS.US+00'')', operand)
        when base = 'interval'::regtype then format('extract(epoch from %s)::text', operand)
        when element <> 0 and (
            element = any ('{text,varchar,bpchar,name,smallint,integer,bigint,numeric,uuid}'::regtype[]::oid[])
            or (select e.typtype = 'e' from pg_type e where e.oid = element)) then format('array_to_string(%s, '' '')', operand)
        when kind = 'e' or kind = 'b' and not builtin and element = 0 then
            aisle._written(operand)
    end;
    if expression is null then
        raise exception 'Column % of % is of type %; it must be a text, a number, a date or the like.',
            quote_ident(column_name), target, name using errcode = 'AIS04', hint = 'Attach another column, or a view that turns it into a text.';
    end if;
    return expression;
end
$function$;
