-- Identifies all that a recommender reads of an item: its texts, as _content_hash does, and its category.
create or replace function aisle._factor_hash(content_hash bytea, category text) returns bytea
language sql immutable parallel safe
begin atomic
    select substr(sha256(content_hash || convert_to(coalesce(category, ''), 'UTF8')), 1, 16);
end;
