-- Notes which tables an attachment reads, and which tables and columns were declared by name: a migration may swap or rename them.
create or replace function aisle._note_tables(kind text) returns void
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    declaration constant jsonb := (select a.declaration from aisle._attachments a where a.kind = kind);
begin
    update aisle._attachments a
    set reads = array(select b.relation from aisle._base_tables(to_regclass('aisle._' || kind)) b order by b.relation),
        declared = array(select aisle._relation_to_attach(declaration ->> t, '{}', triggers => false)
                         from unnest(array['relation', 'lines']) with ordinality o (t, place) where declaration ? t order by o.place),
        numbers = (
            select coalesce(jsonb_object_agg(t, (
                select coalesce(jsonb_object_agg(c.attname, c.attnum), '{}')
                from pg_attribute c
                where c.attrelid = aisle._relation_to_attach(declaration ->> t, '{}', triggers => false)
                  and c.attnum > 0 and not c.attisdropped
                  and exists (select from jsonb_each(declaration) d
                              where d.value = to_jsonb(c.attname::text)
                                 or jsonb_typeof(d.value) = 'array' and d.value ? c.attname::text))), '{}')
            from unnest(array['relation', 'lines']) t where declaration ? t)
    where a.kind = kind;
    update aisle._attachments a set read_names = array(
        select format('%I.%I', n.nspname, c.relname)
        from unnest(a.reads) with ordinality r (relation, place)
        join pg_class c on c.oid = r.relation
        join pg_namespace n on n.oid = c.relnamespace
        order by r.place)
    where a.kind = kind;
end
$function$;
