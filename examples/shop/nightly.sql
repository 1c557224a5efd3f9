-- The nightly job of the shop, as it is written for Spark: what each product sold on a day, read from the service's own
-- tables by key range and written back.
--
--   headwater sql -f examples/shop/nightly.sql -D PORT=3306 -D DAY=2026-11-23 --mysql mysql://root@127.0.0.1:3306/
CREATE OR REPLACE TEMPORARY VIEW orders_view
USING "jdbc"
OPTIONS (
  url              "jdbc:mysql://127.0.0.1:${PORT}/shop",
  dbtable          "orders",
  user             "root",
  password         "",
  partitionColumn  "order_id",
  lowerBound       "1",
  upperBound       "100000",
  numPartitions    "8"
);
CREATE OR REPLACE TEMPORARY VIEW daily_summary AS
SELECT product_id, SUM(amount) AS total_amount, COUNT(*) AS total_count
FROM orders_view
WHERE ordered_at >= '${DAY} 00:00:00' AND ordered_at < DATE_ADD(DATE '${DAY}', 1)
GROUP BY product_id;
INSERT OVERWRITE analytics_db.daily_product_sales PARTITION (day = '${DAY}') SELECT * FROM daily_summary;
