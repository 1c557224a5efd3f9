#!/usr/bin/env python3
"""Folds a changelog of revenue per product and compares it with MySQL's own SELECT.

    check.py CHANGELOG PORT [--wait SECONDS]     exit status 1 when they differ

MySQL may be a moment ahead of the changelog, so the comparison is tried again until they agree or the wait is over.
"""
import argparse
import json
import shutil
import subprocess
import sys
import time
from decimal import Decimal

QUERY = ("SELECT product_id, COUNT(*), SUM(quantity), SUM(amount) FROM shop.orders WHERE status <> 'cancelled' "
         "GROUP BY product_id")


def folded(path):
    """The rows that a changelog comes to, by product."""
    rows = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                break
            change = json.loads(line, parse_float=Decimal)
            row = change["row"]
            if change["op"] in ("+I", "+U"):
                rows[row["product_id"]] = (row["orders"], row["sold"], Decimal(row["revenue"]))
            elif change["op"] == "-D":
                del rows[row["product_id"]]
    return rows


def truth(port):
    program = shutil.which("mariadb") or shutil.which("mysql")
    command = [program, "--host=127.0.0.1", f"--port={port}", "--user=root", "--batch", "--skip-column-names", "-e", QUERY]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    fields = (line.split("\t") for line in text.splitlines())
    return {int(product): (int(orders), int(sold), Decimal(revenue)) for product, orders, sold, revenue in fields}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("changelog")
    parser.add_argument("port", type=int)
    parser.add_argument("--wait", type=float, default=15)
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.wait
    expected = truth(arguments.port)
    while (live := folded(arguments.changelog)) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
        expected = truth(arguments.port)
    print(f"{'product':>8} {'orders':>7} {'sold':>6} {'live revenue':>13} {'MySQL says':>13}")
    for product in sorted(live.keys() | expected.keys()):
        ours, theirs = live.get(product), expected.get(product)
        mark = "" if ours == theirs else "   DIFFERENT"
        shown = ours or (0, 0, Decimal(0))
        print(f"{product:>8} {shown[0]:>7} {shown[1]:>6} {shown[2]:>13} {theirs[2] if theirs else '-':>13}{mark}")
    if live != expected or not expected:
        print("the live totals differ from MySQL's own")
        sys.exit(1)
    orders = sum(row[0] for row in expected.values())
    print(f"live totals of {len(expected)} products over {orders} orders equal MySQL's own SELECT")


if __name__ == "__main__":
    main()
