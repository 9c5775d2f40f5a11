-- The shape of Odoo 17: names as JSON by language; lines of variants whose small numbers overlap with those of the products; lines that are
-- notes; a category All; the brand as the value of an attribute, with no foreign keys on the way.
create table product_category (id serial primary key, parent_id int references product_category, name varchar not null, complete_name varchar, parent_path varchar);
create table product_template (id serial primary key, categ_id int references product_category, uom_id int not null default 1, company_id int, name jsonb not null, description_sale jsonb, type varchar not null default 'consu', list_price numeric, sale_ok boolean, purchase_ok boolean, active boolean, create_date timestamp, write_date timestamp);
create table product_product (id serial primary key, product_tmpl_id int not null references product_template, default_code varchar, barcode varchar, active boolean, create_date timestamp);
create table product_attribute_value (id serial primary key, attribute_id int, name jsonb not null);
create table product_template_attribute_line (id serial primary key, product_tmpl_id int, attribute_id int, active boolean);
create table product_attribute_value_product_template_attribute_line_rel (product_template_attribute_line_id int, product_attribute_value_id int);
create table stock_quant (id serial primary key, product_id int not null, location_id int not null, quantity numeric, reserved_quantity numeric not null default 0);
create table sale_order (id serial primary key, name varchar not null, partner_id int not null, user_id int, team_id int, state varchar, date_order timestamp not null, amount_total numeric, create_date timestamp, write_date timestamp);
create table sale_order_line (id serial primary key, order_id int not null references sale_order on delete cascade, order_partner_id int, salesman_id int, state varchar, display_type varchar, product_id int references product_product, name text not null, product_uom_qty numeric not null, qty_delivered numeric, qty_invoiced numeric, price_unit numeric not null);
create index on sale_order (partner_id);
create index on sale_order_line (order_id);
insert into product_category (parent_id, name) select case when n between 2 and 5 then 1 when n > 5 then 2 + n % 4 end, case n when 1 then 'All' else 'Shelf ' || n end from generate_series(1, 25) n;
insert into product_template (categ_id, name, sale_ok, purchase_ok, active) select case when n % 20 = 0 then 1 else 6 + n % 20 end, jsonb_build_object('en_US', 'Thing of sort ' || n, 'ko_KR', '물건 ' || n), n % 17 <> 0, n % 5 <> 0, n % 23 <> 0 from generate_series(1, 200) n;
insert into product_product (product_tmpl_id, default_code, active) select 1 + n / 2, 'S' || n, true from generate_series(0, 399) n;
insert into product_attribute_value (attribute_id, name) select 1, jsonb_build_object('en_US', 'Maker ' || n) from generate_series(1, 45) n;
insert into product_template_attribute_line (product_tmpl_id, attribute_id, active) select n, 1, true from generate_series(1, 200) n;
insert into product_attribute_value_product_template_attribute_line_rel select n, 1 + n % 45 from generate_series(1, 200) n;
insert into stock_quant (product_id, location_id, quantity) select n, 8, case when (n - 1) % 38 < 2 then 0 else 9 end from generate_series(1, 400) n;
insert into sale_order (name, partner_id, state, date_order) select 'S' || n, 1 + n % 60, case when n % 10 = 0 then 'cancel' when n % 21 = 0 then 'draft' else 'sale' end, timestamp '2026-01-01' + n * interval '3 hours' from generate_series(1, 400) n;
insert into sale_order_line (order_id, order_partner_id, product_id, name, product_uom_qty, qty_delivered, price_unit) select 1 + n % 400, 1 + (n % 400 + 1) % 60, 1 + (n * 7) % 400, 'Thing', 1, 1, 1 from generate_series(1, 1200) n;
insert into sale_order_line (order_id, display_type, name, product_uom_qty, price_unit) select n, 'line_note', 'please ring', 0, 0 from generate_series(1, 400, 20) n;
