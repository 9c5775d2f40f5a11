-- Identifies the texts that a model reads of an item: a vector is current while its hash equals its row's.
create or replace function aisle._content_hash(name text, manufacturer text, details text) returns bytea
language sql immutable parallel safe
begin atomic
    select substr(sha256(convert_to(concat_ws(
        e'\x1f', coalesce(name, ''), coalesce(manufacturer, ''), coalesce(details, '')), 'UTF8')), 1, 16);
end;
