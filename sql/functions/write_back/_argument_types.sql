-- The types of the arguments of a function of ours that exists once.
create or replace function aisle._argument_types(name text) returns text[]
language sql stable
begin atomic
    select array(select format_type(t.t, null) from unnest(p.proargtypes) with ordinality t (t, place) order by t.place)
    from pg_catalog.pg_proc p where p.pronamespace = 'aisle'::regnamespace and p.proname = name;
end;
