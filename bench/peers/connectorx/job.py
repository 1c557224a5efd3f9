"""job.py full|day PORT: reads with eight ranges by ConnectorX and groups by polars."""
import sys

import connectorx
import polars

job, port = sys.argv[1:3]
query = "SELECT order_id, product_id, sale_price, quantity, created_at FROM orders"
if job == "day":
    query += " WHERE created_at >= '2024-05-20 00:00:00' AND created_at < '2024-05-21 00:00:00'"
table = connectorx.read_sql(f"mysql://root:@127.0.0.1:{port}/service_db", query, return_type="arrow",
                            protocol="binary", partition_on="order_id", partition_num=8)
column = polars.col
result = polars.from_arrow(table).lazy().group_by("product_id").agg(
    (column("sale_price") * column("quantity")).sum().alias("total_amount"), column("quantity").sum(),
    polars.len().alias("order_count"), column("created_at").min().alias("min_created"),
    column("created_at").max().alias("max_created")).collect()
print(result.height)
