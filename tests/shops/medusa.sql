-- The shape of Medusa 2: text ids; a category by a join table and a tree; the brand as a type without a foreign key; soft delete; versions of
-- orders; lines whose item_id is that of a line; returns as quantities; stock by variant.
create table product_type (id text primary key, value text not null, deleted_at timestamptz);
create table product (id text primary key, title text not null, handle text not null, description text, status text not null check (status in ('draft', 'proposed', 'published', 'rejected')), type_id text, discountable boolean not null default true, metadata jsonb, created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz);
create table product_variant (id text primary key, title text not null, sku text, product_id text references product, allow_backorder boolean not null default false, manage_inventory boolean not null default true, deleted_at timestamptz);
create table product_category (id text primary key, name text not null, handle text not null, mpath text not null, is_active boolean not null default true, parent_category_id text references product_category, deleted_at timestamptz);
create table product_category_product (product_id text references product, product_category_id text references product_category, primary key (product_id, product_category_id));
create table product_variant_inventory_item (id text not null, variant_id text not null, inventory_item_id text not null, required_quantity int not null default 1, primary key (variant_id, inventory_item_id));
create table inventory_level (id text primary key, inventory_item_id text not null, location_id text not null, stocked_quantity int not null default 0, reserved_quantity int not null default 0, deleted_at timestamptz);
create type order_status as enum ('pending', 'completed', 'draft', 'archived', 'canceled', 'requires_action');
create table "order" (id text primary key, display_id serial, customer_id text, email text, version int not null default 1, status order_status not null default 'pending', is_draft_order boolean not null default false, currency_code text not null, created_at timestamptz not null, updated_at timestamptz not null default now(), deleted_at timestamptz, canceled_at timestamptz);
create table order_line_item (id text primary key, title text not null, product_id text, variant_id text, unit_price numeric not null, created_at timestamptz not null default now());
create table order_item (id text primary key, order_id text not null references "order", version int not null, item_id text not null references order_line_item, quantity numeric not null, fulfilled_quantity numeric not null default 0, delivered_quantity numeric not null default 0, return_requested_quantity numeric not null default 0, return_received_quantity numeric not null default 0, return_dismissed_quantity numeric not null default 0, created_at timestamptz not null default now(), deleted_at timestamptz);
create index on "order" (customer_id);
create index on order_item (order_id);
create function pg_temp.ulid(kind text, n int) returns text language sql as $$ select kind || '_01' || upper(substr(md5(kind || n), 1, 24)) $$;
insert into product_type select pg_temp.ulid('ptyp', n), 'Maker ' || n from generate_series(1, 40) n;
insert into product select pg_temp.ulid('prod', n), 'Thing of sort ' || n, 'thing-' || n, null, case when n % 17 = 0 then 'draft' else 'published' end, pg_temp.ulid('ptyp', 1 + n % 40), true, null, now(), now(), case when n % 23 = 0 then now() end from generate_series(1, 200) n;
insert into product_category select pg_temp.ulid('pcat', n), 'Shelf ' || n, 's' || n, '', true, case when n > 4 then pg_temp.ulid('pcat', 1 + n % 4) end from generate_series(1, 24) n;
insert into product_category_product select pg_temp.ulid('prod', n), pg_temp.ulid('pcat', 5 + n % 20) from generate_series(1, 200) n;
insert into product_category_product select pg_temp.ulid('prod', n), pg_temp.ulid('pcat', 1 + (5 + n % 20) % 4) from generate_series(1, 200, 7) n;
insert into product_variant select pg_temp.ulid('variant', n), 'size ' || n % 2, 'S' || n, pg_temp.ulid('prod', 1 + n / 2) from generate_series(0, 399) n;
insert into product_variant_inventory_item select pg_temp.ulid('pvitem', n), pg_temp.ulid('variant', n), pg_temp.ulid('iitem', n) from generate_series(0, 399) n;
insert into inventory_level select pg_temp.ulid('ilev', n), pg_temp.ulid('iitem', n), 'sloc_1', case when n % 38 < 2 then 0 else 9 end from generate_series(0, 399) n;
insert into "order" select pg_temp.ulid('order', n), n, pg_temp.ulid('cus', 1 + n % 60), null, 1, (case when n % 10 = 0 then 'canceled' when n % 21 = 0 then 'draft' else 'completed' end)::order_status, n % 21 = 0, 'eur', timestamptz '2026-01-01' + n * interval '3 hours' from generate_series(1, 400) n;
insert into order_line_item select pg_temp.ulid('ordli', n), 'Thing', pg_temp.ulid('prod', 1 + (n * 7) % 200), pg_temp.ulid('variant', 2 * ((n * 7) % 200)), 1 from generate_series(1, 1200) n;
insert into order_item select pg_temp.ulid('orditem', n), pg_temp.ulid('order', 1 + n % 400), 1, pg_temp.ulid('ordli', n), 1, 1, 1, 0, (n % 25 = 0)::int from generate_series(1, 1200) n;
