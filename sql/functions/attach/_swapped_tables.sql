-- Those of the tables of a kind whose names are now other tables'.
create or replace function aisle._swapped_tables(kind text) returns regclass[]
language sql stable
begin atomic
    select array(
        select r.relation
        from aisle._attachments a, unnest(a.reads, a.read_names) r (relation, name)
        where a.kind = _swapped_tables.kind and aisle._relation_named(r.name) <> r.relation);
end;
