"""Runs queries over the files FOLDER/TABLE.parquet: the median time of each, and its rows as texts."""

import json
import statistics
import sys
import time
from pathlib import Path

import duckdb

queries, folder, threads, runs = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
db = duckdb.connect(config={"threads": int(threads)})
for file in folder.glob("*.parquet"):
    db.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM read_parquet('{file}')")
seconds, rows = [], []
for query in queries:
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        found = db.execute(query).fetchall()
        times.append(time.perf_counter() - begin)
    seconds.append(statistics.median(times))
    rows.append([["NULL" if value is None else str(value) for value in row] for row in found])
print(json.dumps({"seconds": seconds, "rows": rows, "version": duckdb.__version__}))
