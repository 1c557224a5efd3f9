-- Revenue per product, kept right by every change of the orders table: new orders, changed amounts, cancellations.
CREATE TABLE orders (
  order_id BIGINT,
  product_id BIGINT,
  quantity INT,
  amount DECIMAL(12, 2),
  status STRING,
  PRIMARY KEY (order_id) NOT ENFORCED
) WITH (
  'connector' = 'mysql-cdc',
  'hostname' = '127.0.0.1',
  'port' = '${PORT}',
  'username' = '${USER}',
  'password' = '${PASSWORD}',
  'database-name' = 'shop',
  'table-name' = 'orders'
);

SELECT product_id, COUNT(*) AS orders, SUM(quantity) AS sold, SUM(amount) AS revenue
FROM orders WHERE status <> 'cancelled'
GROUP BY product_id;
