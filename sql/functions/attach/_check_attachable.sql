-- Refuses what cannot be attached: a second table of a kind, and another make-up of texts or categories than that which the live models
-- learned from. Makes room for what was paused.
create or replace function aisle._check_attachable(kind text, declaration jsonb, accept_changes boolean) returns void
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    attached aisle._attachments := (select a from aisle._attachments a where a.kind = kind);
    changed text;
begin
    if (declaration ? 'relation') = (declaration ? 'query') then
        raise exception 'Name a table or write a query, not both.' using errcode = 'AIS05';
    elsif attached.kind is not null and not attached.is_paused then
        raise exception '% are attached already, to %.', initcap(kind), coalesce(attached.declaration ->> 'relation', 'a query')
            using errcode = 'AIS03', hint = format('Detach them first: aisle detach %s', kind);
    end if;
    select string_agg(distinct k.name, ', ') into changed
    from aisle._live_models l
    join aisle._models m on m.model_id = l.model_id and m.declaration is not null
    cross join lateral jsonb_object_keys(m.declaration || declaration) k (name)
    where k.name <> all (array['relation', 'id', 'query', 'watch', 'eligible', 'group_column', 'draft_rows', 'latitude', 'longitude'])
      and m.declaration -> k.name is distinct from declaration -> k.name;
    if kind = 'items' and changed is not null and not accept_changes then
        raise exception 'The live models learned from another make-up of the items; this differs in: %.', changed
            using errcode = 'AIS03', hint = 'If that is meant, say accept_changes (--accept-changes), and train again.';
    end if;
    delete from aisle._attachments a where a.kind = kind;
end
$function$;
