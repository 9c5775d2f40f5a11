create or replace function aisle.tg_items__truncate() returns trigger
language plpgsql volatile security definer
as $trigger$
begin
    perform aisle._forget_all_items();
    return null;
end
$trigger$;
