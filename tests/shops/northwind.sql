-- The shape of an old sample database: keys named after their tables, no id column, compound key of lines.
create table categories (category_id smallint primary key, category_name varchar(15) not null, description text);
create table suppliers (supplier_id smallint primary key, company_name varchar(40) not null, country varchar(15));
create table products (product_id smallint primary key, product_name varchar(40) not null, supplier_id smallint references suppliers, category_id smallint references categories, quantity_per_unit varchar(20), unit_price real, units_in_stock smallint, units_on_order smallint, reorder_level smallint, discontinued integer not null);
create table customers (customer_id varchar(5) primary key, company_name varchar(40) not null);
create table employees (employee_id smallint primary key, last_name varchar(20));
create table orders (order_id smallint primary key, customer_id varchar(5) references customers, employee_id smallint references employees, order_date date, required_date date, shipped_date date, ship_via smallint, freight real);
create table order_details (order_id smallint not null references orders, product_id smallint not null references products, unit_price real not null, quantity smallint not null, discount real not null, primary key (order_id, product_id));
insert into categories select n, 'Shelf ' || n, 'text' from generate_series(1, 8) n;
insert into suppliers select n, 'Company ' || n, 'UK' from generate_series(1, 20) n;
insert into products select n, 'Thing of sort ' || n, 1 + n % 20, 1 + n % 8, '10 boxes', 3, n % 20, 0, 5, (n % 11 = 0)::int from generate_series(1, 77) n;
insert into customers select 'C' || lpad(n::text, 4, '0'), 'Firm ' || n from generate_series(1, 40) n;
insert into employees select n, 'Smith' from generate_series(1, 6) n;
insert into orders select n, 'C' || lpad((1 + n % 40)::text, 4, '0'), 1 + n % 6, date '2026-01-01' + n / 3, date '2026-02-01' + n / 3, date '2026-01-05' + n / 3, 1, 2 from generate_series(1, 300) n;
insert into order_details select o, 1 + (o * 7 + i * 13) % 77, 3, 1, 0 from generate_series(1, 300) o, generate_series(1, 3) i;
