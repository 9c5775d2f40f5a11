insert into product_category (parent_id, name)
select case when n > 1 then 1 end, case n when 1 then 'All' else 'Department ' || n - 1 end from generate_series(1, 5) n;
insert into product_category (parent_id, name) select 1 + department, name from made_shelf order by n;
insert into product_template (categ_id, name, sale_ok, purchase_ok, active)
select case when n % 20 = 0 then 1 else 5 + shelf end, jsonb_build_object('en_US', name, 'ko_KR', '물건 ' || n), state <> 'draft', n % 5 <> 0,
       state <> 'deleted'
from made_product order by n;
insert into product_product (product_tmpl_id, default_code, active)
select n, n || '-' || v, true from made_product, generate_series(0, 1) v order by n, v;
insert into product_attribute_value (attribute_id, name) select 1, jsonb_build_object('en_US', 'Maker ' || n) from generate_series(1, 30) n;
insert into product_template_attribute_line (product_tmpl_id, attribute_id, active) select n, 1, true from made_product order by n;
insert into product_attribute_value_product_template_attribute_line_rel select n, maker from made_product;
insert into stock_quant (product_id, location_id, quantity)
select 2 * n - 1 + v, 8, case state when 'sold out' then 0 else 9 end from made_product, generate_series(0, 1) v;
insert into sale_order (id, name, partner_id, state, date_order)
select n, 'S' || n, customer, case state when 'cancelled' then 'cancel' when 'cart' then 'draft' else 'sale' end, at from made_order;
insert into sale_order_line (order_id, order_partner_id, product_id, name, product_uom_qty, qty_delivered, price_unit)
select order_n, order_n / 10, 2 * product, 'Thing', 1, 1, 1 from made_line;
insert into sale_order_line (order_id, display_type, name, product_uom_qty, price_unit)
select n, 'line_note', 'please ring', 0, 0 from made_order where n % 20 = 1;
select setval('sale_order_id_seq', 100000);
