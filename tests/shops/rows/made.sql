-- Rows that a model can learn from, for a shop of any shape: 12 shelves in 4 departments, 600 products whose words tell their shelf,
-- 120 customers who keep to two shelves and buy some staples again and again. The file of a shape puts them into the shop's tables.
create function pg_temp.pick(seed text, among int) returns int language sql immutable as
$$ select 1 + ('x' || substr(md5(seed), 1, 7))::bit(28)::int % among $$;
create function pg_temp.key(kind text, n int) returns text language sql immutable as
$$ select kind || '_01' || upper(substr(md5(kind || n), 1, 24)) $$;
create temp table made_shelf as
select s as n, 1 + s % 4 as department, initcap(words[1]) as name, words
from unnest(array['green tea leaf', 'roast coffee bean', 'rye bread loaf', 'hand soap bar', 'black ink pen', 'blank paper pad',
                  'wool winter scarf', 'linen summer shirt', 'steel kitchen knife', 'iron frying pan', 'cotton bath towel', 'oak dining chair'])
     with ordinality t (line, place), lateral (select place::int as s, string_to_array(line, ' ') as words) w;
create temp table made_product as
select i as n, s.n as shelf, 1 + i % 30 as maker,
       concat_ws(' ', s.words[pg_temp.pick('a' || i, 3)], s.words[1 + i % 3], translate(left(md5(i::text), 6), '0123456789', 'ghijklmnop')) as name,
       case when i % 17 = 0 then 'draft' when i % 23 = 0 then 'deleted' when i % 19 = 0 then 'sold out' else 'on sale' end as state
from generate_series(1, 600) i join made_shelf s on s.n = 1 + i % 12;
create temp table made_order as
select c * 10 + i as n, c as customer, timestamptz '2026-01-01' + c % 7 * interval '1 day' + i * interval '11 days' as at,
       case when (c + i) % 11 = 0 then 'cancelled' when (c + i) % 23 = 0 then 'cart' else 'done' end as state
from generate_series(1, 120) c, generate_series(1, 9) i;
-- Of an order's lines, the first three are mostly staples; a customer has others after each third order. The last line is anything.
create temp table made_line as
select o.n * 4 + k as n, o.n as order_n,
       1 + (case k when 2 then o.customer * 5 + 3 else o.customer end) % 12
       + 12 * (pg_temp.pick(case when k < 4 and chance > 1 then 'staple' || o.customer || k || (o.n % 10 - 1) / 3 else 'any' || o.n || k end, 50) - 1) as product
from made_order o, generate_series(1, 4) k, lateral (select pg_temp.pick('chance' || o.n || k, 6) as chance) t;
