-- Identifies what a recommender reads of an item: what _content_hash covers, and the category.
create or replace function aisle._factor_hash(content_hash bytea, category text) returns bytea
language sql immutable parallel safe
begin atomic
    select substr(sha256(content_hash || convert_to(coalesce(category, ''), 'UTF8')), 1, 16);
end;
