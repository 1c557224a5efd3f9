#!/usr/bin/env python3
"""Asks the binary what Flink or Spark was asked, and compares values and types.

    expressions.py --headwater BINARY --dialect flink|spark [--show] [FILE…]

FILES (default: DIALECT/expr/*.json beside this script) hold name -> {"sql", and "types" with "rows", or "error"}: answers
of Flink 2.3 and Spark 4.3. `expr/differences.tsv` names the cases in which our answer differs on purpose, each with its
reason; one that agrees by now is a failure, too, so that the list stays true. Exits with 1 if anything is not as it should
be. A FILE of one's own is compared with the same list.

Cases that should give rows share a run of the binary, some dozens at a time: a line of a known text stands behind each. A
run that stops tells by the lines which case it was, and goes on behind it. Cases that are refused have a run of their own.
"""
import argparse, concurrent.futures, csv, io, json, os, re, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOGETHER = 60


def run(given, script):
    done = subprocess.run([given.headwater, "sql", "--output", "csv", "--null", "\\N", "-f", "-"],
                          input=(DIALECTS[given.dialect]["before"] + script).encode(), capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def split(case):
    """What is to be set up before, and the query."""
    statements = [text.strip() for text in case["sql"].rstrip().rstrip(";").split(";\n")]
    return "".join(text + ";\n" for text in statements[:-1]), statements[-1]


def rows_of(text, width):
    found = list(csv.reader(io.StringIO(text, newline="")))[1:]
    # A line of nothing is one empty value.
    return [row if row or width != 1 else [""] for row in found]


def cells(text):
    lines = [line for line in text.splitlines() if " | " in line][1:]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def flink_types(text):
    return [cell[1] + (" NOT NULL" if cell[2] == "FALSE" else "") for cell in cells(text)]


def flink_wanted(types):
    wanted = [name.replace("TIMESTAMP_WITH_LOCAL_TIME_ZONE", "TIMESTAMP_LTZ") for name in types]
    return [name.replace("INTERVAL SECOND(3)", "INTERVAL DAY TO SECOND").replace("INTERVAL MONTH", "INTERVAL YEAR TO MONTH")
            for name in wanted]


def spark_types(text):
    # Names may have any characters.
    lines = [line for line in text.splitlines() if " | " in line][1:]
    return [line.rsplit(" | ", 2)[1].strip() for line in lines]


# What stands before a script, how a query is described, types as DESCRIBE tells them and as the answers have them, and the order of results.
DIALECTS = {
    "flink": {"before": "", "describe": "CREATE TEMPORARY VIEW {view} AS {query};\nDESCRIBE {view}", "types": flink_types, "wanted": flink_wanted, "ordered": False},
    "spark": {"before": "SET sql.dialect = spark;\n", "describe": "DESCRIBE QUERY {query}", "types": spark_types, "wanted": list, "ordered": True},
}


def end(number):
    """A statement, and what it prints: the end of a case."""
    return f"SELECT '{number}' AS `$end of a part`;\n", f"$end of a part\n{number}\n"


def asked(dialect, number, case):
    """The statements of a case: its rows, an end, its types, an end."""
    setup, query = split(case)
    rows, types = end(2 * number)[0], end(2 * number + 1)[0]
    described = DIALECTS[dialect]["describe"].format(view=f"`$asked {number}`", query=query)
    return f"{setup}{query};\n{rows}{described};\n{types}"


def has_order(query):
    """Whether the rows of a query come in an order: ORDER BY stands outside of parentheses."""
    while True:
        inner = re.sub(r"'[^']*'|\([^()]*\)", "", query)
        if inner == query:
            return "ORDER BY" in query.upper()
        query = inner


def compared(dialect, case, rows, types):
    rules = DIALECTS[dialect]
    want = [["\\N" if value is None else value for value in row] for row in case["rows"]]
    got = rows_of(rows, len(case["types"]))
    if not (rules["ordered"] and has_order(case["sql"])):
        want, got = sorted(want), sorted(got)
    if got != want:
        return f"gives {got} instead of {want}"
    types, wanted = rules["types"](types), rules["wanted"](case["types"])
    return None if types == wanted else f"is of {types} instead of {wanted}"


def check(given, cases):
    """What differs in each of some cases that are answered; None for one that agrees."""
    found, start = [], 0
    while start < len(cases):
        code, out, err = run(given, "".join(asked(given.dialect, number, case) for number, case in enumerate(cases[start:])))
        for number, case in enumerate(cases[start:]):
            rows, mark, rest = out.partition(end(2 * number)[1])
            types, marked, rest = rest.partition(end(2 * number + 1)[1])
            if not mark or not marked:
                found.append(("has no types: " if mark else "stops: ") + " ".join(err.split())[:200])
                break
            found.append(compared(given.dialect, case, rows, types))
            out = rest
        start = len(found)
    return found


def check_refused(given, case):
    setup, query = split(case)
    code, out, err = run(given, f"{setup}{query};")
    return None if code else f"{given.dialect} refuses it, ours gives {rows_of(out, 0)}"


def answers(given, cases, pool):
    """What differs, by name; None for one that agrees."""
    refused = [name for name, case in cases.items() if "error" in case]
    answered = [name for name, case in cases.items() if "error" not in case]
    # Settings and tables are for one case alone, and a variable without a value ends the whole script.
    apart = [name for name in answered if split(cases[name])[0] or "${" in cases[name]["sql"]]
    groups = [[name] for name in apart]
    answered = [name for name in answered if name not in set(apart)]
    groups += [answered[at:at + TOGETHER] for at in range(0, len(answered), TOGETHER)]
    together = pool.map(lambda group: check(given, [cases[name] for name in group]), groups)
    alone = pool.map(lambda name: check_refused(given, cases[name]), refused)
    found = {name: differs for group, all_of in zip(groups, together) for name, differs in zip(group, all_of)}
    found.update(zip(refused, alone))
    return found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--headwater", required=True)
    arguments.add_argument("--dialect", required=True, choices=DIALECTS)
    arguments.add_argument("--show", action="store_true", help="print each difference that is listed, too")
    arguments.add_argument("files", nargs="*")
    given = arguments.parse_args()
    folder = os.path.join(HERE, given.dialect, "expr")
    files = given.files or sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json"))
    listed = {}
    with open(os.path.join(folder, "differences.tsv")) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, reason = line.rstrip("\n").split("\t", 1)
                listed[name] = reason
    wrong = total = known = 0
    met = set()
    for path in files:
        with open(path) as handle:
            cases = json.load(handle)
        family = os.path.splitext(os.path.basename(path))[0]
        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            found = answers(given, cases, pool)
        for name in cases:
            total += 1
            full, differs = f"{family}/{name}", found[name]
            if full in listed:
                known += 1
                met.add(full)
                if differs is None:
                    wrong += 1
                    print(f"{full}: agrees, but is listed as a difference ({listed[full]})")
                elif given.show:
                    print(f"{full}: {differs} ({listed[full]})")
            elif differs is not None:
                wrong += 1
                print(f"{full}: {cases[name]['sql']!r} {differs}")
    if not given.files:
        for full in listed.keys() - met:
            wrong += 1
            print(f"{full} is listed as a difference, but there is no such case")
    print(f"{total} cases, {known} differ on purpose, {wrong} not as they should be")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
