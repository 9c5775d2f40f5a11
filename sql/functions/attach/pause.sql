create or replace function aisle.pause(kind text) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
begin
    update aisle._attachments a set is_paused = true where a.kind = kind;
    if not found then
        raise exception 'No % are attached.', kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    perform aisle._unhook(kind);
    return format('Paused. When the migration is done: select aisle.resume(%L)', kind);
end
$function$;

comment on function aisle.pause(text) is
    'Takes Aisle''s views and triggers off the shop''s tables, so that a migration can change any column or swap a table. Keeps all vectors. '
    'Until aisle.resume, workers leave these rows alone, and answers that must look at them raise an error.';
