-- Writes the expression for the label of an item from that of what stands in the row: the same for the view aisle._items and for triggers.
create or replace function aisle._counting_label(operand text) returns text
language plpgsql stable
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
    unlabelled constant text[] := array(select jsonb_array_elements_text(attached.declaration -> 'unlabelled'));
    label constant text := case
        when attached.declaration ? 'categories' then format('nullif(%s, '''')', operand)
        else format('aisle._flat_label(%s, %L, %L, %L)', operand, attached.category_separator, attached.category_digits, attached.category_list) end;
begin
    if operand is null then
        return null;
    end if;
    return case when unlabelled = '{}' then label
                else format('(select v.c from (values (%s)) v (c) where v.c <> all (%L::text[]))', label, unlabelled) end;
end
$function$;
