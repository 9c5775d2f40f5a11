insert into "Category" select pg_temp.key('c', n), name from made_shelf;
insert into "Product" (id, name, "isActive", "categoryId")
select pg_temp.key('p', n), name, state not in ('draft', 'deleted'), pg_temp.key('c', shelf) from made_product;
insert into "ProductVariant" (id, "productId", "weightKg", "weightLabel", price, "stockQty", "isOutOfStock")
select pg_temp.key('v', 2 * n + v), pg_temp.key('p', n), 1, '1 kg', 1, case state when 'sold out' then 0 else 9 end, state = 'sold out'
from made_product, generate_series(0, 1) v;
insert into "Order" (id, "customerId", "agentId", status, "totalAmount", "createdAt")
select pg_temp.key('o', n), pg_temp.key('u', customer), 'a1',
       (case state when 'cancelled' then 'cancelled' when 'cart' then 'pending' else 'delivered' end)::"OrderStatus", 1, at
from made_order;
insert into "OrderItem"
select pg_temp.key('l', n), pg_temp.key('o', order_n), pg_temp.key('v', 2 * product), pg_temp.key('p', product), 'Thing', 1, 1, 1 from made_line;
