#!/usr/bin/env python3
"""Shoppers: clicks into a growing JSON file, orders and price changes into MySQL. Same seed, same shopping.

    shoppers.py --port PORT --clicks FILE [--seconds 60] [--seed 42] [--user root] [--password '']

Only the standard library; statements go to one `mariadb` (or `mysql`) client over its standard input.
"""
import argparse
import json
import random
import shutil
import subprocess
import time
from datetime import datetime, timezone

PRODUCTS = ["Tea", "Coffee", "Cocoa", "Honey", "Bread", "Butter", "Jam", "Milk", "Salt", "Pepper", "Rice", "Oil"]
NAMES = ["Ana", "Bo", "Chen", "Dara", "Eve", "Finn", "Gita", "Hugo", "Ines", "Jun", "Kira", "Leo"]
STEP_SECONDS = 0.1
CLICKS_PER_STEP = 40
ORDERS_PER_STEP = 4


def client(arguments):
    program = shutil.which("mariadb") or shutil.which("mysql")
    if program is None:
        raise SystemExit("shoppers need the mariadb or mysql client")
    command = [program, "--host=127.0.0.1", f"--port={arguments.port}", f"--user={arguments.user}",
               f"--password={arguments.password}", "shop"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True)


def stock(run, dice):
    """Users and products that are there before the first shopper comes."""
    for number, name in enumerate(NAMES * 10):
        run(f"INSERT INTO users (name, email) VALUES ('{name}', '{name.lower()}{number}@example.com')")
    for name in PRODUCTS:
        run(f"INSERT INTO products (name, price, stock) VALUES ('{name}', {dice.randint(100, 3000) / 100:.2f}, 1000)")


def order(run, dice, placed):
    """One order with its confirmation job in one transaction; now and then an older one changes."""
    user, product, quantity = dice.randint(1, 120), dice.randint(1, len(PRODUCTS)), dice.randint(1, 5)
    run("BEGIN")
    run(f"INSERT INTO orders (user_id, product_id, quantity, amount) SELECT {user}, {product}, {quantity}, "
        f"{quantity} * price FROM products WHERE product_id = {product}")
    run("INSERT INTO jobs (job_type, payload) SELECT 'SEND_ORDER_CONFIRMATION', "
        "JSON_OBJECT('order_id', order_id, 'user_id', user_id, 'product_id', product_id, 'amount', amount) "
        "FROM orders WHERE order_id = LAST_INSERT_ID()")
    run("COMMIT")
    placed += 1
    luck = dice.random()
    if luck < 0.10:
        run(f"UPDATE orders SET status = 'cancelled' WHERE order_id = {dice.randint(1, placed)}")
    elif luck < 0.40:
        run(f"UPDATE orders SET status = 'paid' WHERE order_id = {dice.randint(1, placed)} AND status = 'placed'")
    elif luck < 0.42:
        run(f"DELETE FROM orders WHERE order_id = {dice.randint(1, placed)}")
    return placed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clicks", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--user", default="root")
    parser.add_argument("--password", default="")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    database = client(arguments)

    def run(statement):
        database.stdin.write(statement + ";\n")

    stock(run, dice)
    placed = 0
    with open(arguments.clicks, "a", encoding="utf-8") as clicks:
        begin = time.monotonic()
        steps = int(arguments.seconds / STEP_SECONDS)
        for step in range(steps):
            now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
            for _ in range(CLICKS_PER_STEP):
                product = min(int(dice.expovariate(0.35)), len(PRODUCTS) - 1) + 1
                click = {"user_id": dice.randint(1, 120), "page": f"/products/{product}", "timestamp": now}
                clicks.write(json.dumps(click) + "\n")
            clicks.flush()
            for _ in range(ORDERS_PER_STEP):
                placed = order(run, dice, placed)
            if step % 20 == 0:
                run(f"UPDATE products SET price = {dice.randint(100, 3000) / 100:.2f} "
                    f"WHERE product_id = {dice.randint(1, len(PRODUCTS))}")
            database.stdin.flush()
            time.sleep(max(0.0, begin + (step + 1) * STEP_SECONDS - time.monotonic()))
    database.stdin.close()
    print(f"orders placed: {placed}")
    raise SystemExit(database.wait())


if __name__ == "__main__":
    main()
