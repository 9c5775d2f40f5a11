-- The shape of a shop made with Prisma: quoted names with capitals, cuids, enums, flags of the product and of its variants.
create type "OrderStatus" as enum ('pending', 'confirmed', 'out_for_delivery', 'delivered', 'cancelled');
create table "user" (id text primary key, name text not null, email text not null);
create table "Category" (id text primary key, name text not null unique, description text, "isActive" boolean not null default true);
create table "Product" (id text primary key, name text not null, description text, "isActive" boolean not null default true, images text[], "categoryId" text not null references "Category", "createdAt" timestamp(3) not null default now(), "updatedAt" timestamp(3) not null default now());
create table "ProductVariant" (id text primary key, "productId" text not null references "Product", "weightKg" float8 not null, "weightLabel" text not null, price float8 not null, "stockQty" int not null default 0, "isOutOfStock" boolean not null default false, "isActive" boolean not null default true);
create table "Order" (id text primary key, "customerId" text not null, "agentId" text not null, status "OrderStatus" not null default 'pending', "totalAmount" float8 not null, "deliveredAt" timestamp(3), "cancelledAt" timestamp(3), "createdAt" timestamp(3) not null, "updatedAt" timestamp(3) not null default now());
create table "OrderItem" (id text primary key, "orderId" text not null references "Order", "variantId" text not null references "ProductVariant", "productId" text references "Product" on delete set null, "productName" text not null, "productPrice" float8 not null, quantity int not null, subtotal float8 not null);
create index on "Order" ("customerId");
create index on "OrderItem" ("orderId");
create function pg_temp.cuid(kind text, n int) returns text language sql as $$ select 'cm' || substr(md5(kind || n), 1, 23) $$;
insert into "Category" select pg_temp.cuid('c', n), 'Shelf ' || n from generate_series(1, 20) n;
insert into "Product" (id, name, "isActive", "categoryId") select pg_temp.cuid('p', n), 'Thing of sort ' || n, n % 10 <> 0, pg_temp.cuid('c', 1 + n % 20) from generate_series(1, 200) n;
insert into "ProductVariant" select pg_temp.cuid('v', n), pg_temp.cuid('p', 1 + n / 2), 1, '1 kg', 1, case when n % 38 < 2 then 0 else 9 end, n % 38 < 2 from generate_series(0, 399) n;
insert into "Order" (id, "customerId", "agentId", status, "totalAmount", "createdAt") select pg_temp.cuid('o', n), pg_temp.cuid('u', 1 + n % 60), 'a1', (case when n % 10 = 0 then 'cancelled' when n % 21 = 0 then 'pending' else 'delivered' end)::"OrderStatus", 1, timestamp '2026-01-01' + n * interval '3 hours' from generate_series(1, 400) n;
insert into "OrderItem" select pg_temp.cuid('l', n), pg_temp.cuid('o', 1 + n % 400), pg_temp.cuid('v', 2 * ((n * 7) % 200)), pg_temp.cuid('p', 1 + (n * 7) % 200), 'Thing', 1, 1, 1 from generate_series(1, 1200) n;
