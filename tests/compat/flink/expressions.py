#!/usr/bin/env python3
"""Asks the binary what Flink was asked, and compares values and types.

    expressions.py --headwater BINARY [--show] [FILE…]

FILES (default: expr/*.json beside this script) hold name -> {"sql", and "types" with "rows", or "error"}: answers of Flink
2.3. `expr/differences.tsv` names the cases in which our answer differs on purpose, each with its reason; one that agrees
by now is a failure, too, so that the list stays true. Exits with 1 if anything is not as it should be.
"""
import argparse, concurrent.futures, csv, io, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(binary, script):
    done = subprocess.run([binary, "sql", "--output", "csv", "--null", "\\N", "-e", script],
                          capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def rows_of(text, width):
    found = list(csv.reader(io.StringIO(text)))[1:]
    # A line of nothing is one empty value.
    return [row if row or width != 1 else [""] for row in found]


def types_of(binary, setup, query):
    code, out, err = run(binary, f"{setup}CREATE VIEW `$asked` AS {query};\nDESCRIBE `$asked`;")
    if code:
        return None, err
    lines = [line for line in out.splitlines() if " | " in line][1:]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [cell[1] + (" NOT NULL" if cell[2] == "FALSE" else "") for cell in cells], ""


def check(binary, case):
    """None if the case agrees, else what differs."""
    statements = [text.strip() for text in case["sql"].rstrip().rstrip(";").split(";\n")]
    setup, query = "".join(text + ";\n" for text in statements[:-1]), statements[-1]
    code, out, err = run(binary, f"{setup}{query};")
    if "error" in case:
        return None if code else f"Flink refuses it, ours gives {rows_of(out, 0)}"
    if code:
        return "stops: " + " ".join(err.split())[:200]
    want = sorted([["\\N" if value is None else value for value in row] for row in case["rows"]])
    got = sorted(rows_of(out, len(case["types"])))
    if got != want:
        return f"gives {got} instead of {want}"
    types, err = types_of(binary, setup, query)
    if types is None:
        return "has no types: " + " ".join(err.split())[:200]
    wanted = [name.replace("TIMESTAMP_WITH_LOCAL_TIME_ZONE", "TIMESTAMP_LTZ") for name in case["types"]]
    wanted = [name.replace("INTERVAL SECOND(3)", "INTERVAL DAY TO SECOND").replace("INTERVAL MONTH", "INTERVAL YEAR TO MONTH")
              for name in wanted]
    if types != wanted:
        return f"is of {types} instead of {wanted}"
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--headwater", required=True)
    arguments.add_argument("--show", action="store_true", help="print each difference that is listed, too")
    arguments.add_argument("files", nargs="*")
    given = arguments.parse_args()
    folder = os.path.join(HERE, "expr")
    files = given.files or sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json"))
    listed = {}
    with open(os.path.join(folder, "differences.tsv")) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, reason = line.rstrip("\n").split("\t", 1)
                listed[name] = reason
    wrong = total = known = 0
    for path in files:
        with open(path) as handle:
            cases = json.load(handle)
        family = os.path.splitext(os.path.basename(path))[0]
        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            for name, found in zip(cases, pool.map(lambda case: check(given.headwater, case), cases.values())):
                total += 1
                full = f"{family}/{name}"
                if full in listed:
                    known += 1
                    if found is None:
                        wrong += 1
                        print(f"{full}: agrees, but is listed as a difference ({listed[full]})")
                    elif given.show:
                        print(f"{full}: {found} ({listed[full]})")
                elif found is not None:
                    wrong += 1
                    print(f"{full}: {cases[name]['sql']!r} {found}")
    print(f"{total} cases, {known} differ on purpose, {wrong} not as they should be")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
