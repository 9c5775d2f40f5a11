-- The relation of this name, in `public` if the name has no schema; null if there is none. Unlike to_regclass, it needs no right on the
-- schema.
create or replace function aisle._relation_named(name text) returns regclass
language plpgsql stable
as $function$
declare
    parts text[];
begin
    parts := parse_ident(name);
    return (
        select c.oid from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = case cardinality(parts) when 1 then 'public' else parts[1] end and c.relname = parts[cardinality(parts)]
          and cardinality(parts) <= 2);
exception when invalid_parameter_value then  -- it is no name of a relation
    return null;
end
$function$;
