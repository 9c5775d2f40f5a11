insert into product_type select pg_temp.key('ptyp', n), 'Maker ' || n from generate_series(1, 30) n;
insert into product (id, title, handle, status, type_id, deleted_at)
select pg_temp.key('prod', n), name, 'p' || n, case state when 'draft' then 'draft' else 'published' end, pg_temp.key('ptyp', maker),
       case state when 'deleted' then now() end
from made_product;
insert into product_category (id, name, handle, mpath)
select pg_temp.key('pcat', 100 + d), 'Department ' || d, 'd' || d, '' from generate_series(1, 4) d;
insert into product_category (id, name, handle, mpath, parent_category_id)
select pg_temp.key('pcat', n), name, 's' || n, '', pg_temp.key('pcat', 100 + department) from made_shelf;
insert into product_category_product select pg_temp.key('prod', n), pg_temp.key('pcat', shelf) from made_product;
insert into product_category_product
select pg_temp.key('prod', p.n), pg_temp.key('pcat', 100 + s.department) from made_product p join made_shelf s on s.n = p.shelf where p.n % 7 = 0;
insert into product_variant (id, title, sku, product_id)
select pg_temp.key('variant', 2 * n + v), 'size ' || v, n || '-' || v, pg_temp.key('prod', n) from made_product, generate_series(0, 1) v;
insert into product_variant_inventory_item (id, variant_id, inventory_item_id)
select pg_temp.key('pvitem', 2 * n + v), pg_temp.key('variant', 2 * n + v), pg_temp.key('iitem', 2 * n + v) from made_product, generate_series(0, 1) v;
insert into inventory_level (id, inventory_item_id, location_id, stocked_quantity)
select pg_temp.key('ilev', 2 * n + v), pg_temp.key('iitem', 2 * n + v), 'sloc_1', case state when 'sold out' then 0 else 9 end
from made_product, generate_series(0, 1) v;
insert into "order" (id, display_id, customer_id, status, is_draft_order, currency_code, created_at)
select pg_temp.key('order', n), n, pg_temp.key('cus', customer),
       (case state when 'cancelled' then 'canceled' when 'cart' then 'draft' else 'completed' end)::order_status, state = 'cart', 'eur', at
from made_order;
insert into order_line_item (id, title, product_id, variant_id, unit_price)
select pg_temp.key('ordli', n), 'Thing', pg_temp.key('prod', product), pg_temp.key('variant', 2 * product), 1 from made_line;
insert into order_item (id, order_id, version, item_id, quantity, fulfilled_quantity, delivered_quantity, return_received_quantity)
select pg_temp.key('orditem', n), pg_temp.key('order', order_n), 1, pg_temp.key('ordli', n), 1, 1, 1, (n % 50 = 0)::int from made_line;
