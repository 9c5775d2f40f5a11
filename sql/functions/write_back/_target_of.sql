-- The table to which a statement writes.
create or replace function aisle._target_of(statement text) returns regclass
language plpgsql stable
as $function$
declare
    name constant text := substring(statement from '^\s*(?:[iI][nN][sS][eE][rR][tT]\s+[iI][nN][tT][oO]|[uU][pP][dD][aA][tT][eE]|[dD][eE][lL][eE][tT][eE]\s+[fF][rR][oO][mM])\s+(?:[oO][nN][lL][yY]\s+)?((?:"(?:[^"]|"")+"|[^\s".()]+)(?:\.(?:"(?:[^"]|"")+"|[^\s".()]+))?)');
begin
    if name is null then
        raise exception 'A statement that writes a category is one INSERT, UPDATE or DELETE: %', statement
            using errcode = 'AIS05', hint = 'For example: insert into product_category_product (product_id, product_category_id) values ($1, $2)';
    end if;
    return aisle._relation_to_attach(name, '{}', triggers => false);
end
$function$;
