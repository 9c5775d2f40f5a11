-- Notes the share of eligible items among 10,000, never 0: a search for k items looks at so many more. It is a matter of speed alone.
create or replace function aisle._note_eligible_share() returns void
language plpgsql volatile
as $function$
begin
    if exists (select from aisle._attachments a where a.kind = 'items' and a.looks_up and not a.is_paused) then
        perform aisle._guard();
        update aisle._attachments a
        set eligible_share = (select coalesce(greatest(avg((i.is_eligible is true)::integer), .001), 1)
                              from (select i.is_eligible from aisle._items i limit 10000) i)
        where a.kind = 'items';
    end if;
end
$function$;
