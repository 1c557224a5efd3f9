#!/usr/bin/env python3
"""Runs every script of this folder with headwater and compares with the answers of the real Flink.

    run.py --headwater BINARY [NAME…] [--expected FILE] [--timeout 120]

golden/NAME.csv holds Flink's final rows, golden/schemas.json the error of scripts that Flink refuses (then ours must fail
too). Scripts that write files are compared by the rows of all part files, with the sub-folder as the first column.
With --expected, a file of names one a line, the exit status is 1 when one of them does not agree.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def field(value):
    return '"' + value.replace('"', '""') + '"' if value == "" or re.search(r'[",\r\n]', value) else value


def written_rows(out, golden):
    """The rows of all part files under `out` in the form of the golden file."""
    header = open(golden, encoding="utf-8").readline().rstrip("\n")
    rows = [header]
    for path in sorted(glob.glob(os.path.join(out, "**", "*"), recursive=True)):
        if os.path.isfile(path) and not os.path.basename(path).startswith((".", "_")):
            folder = os.path.relpath(os.path.dirname(path), out)
            with open(path, encoding="utf-8") as lines:
                rows += [field(folder) + "," + field(line.rstrip("\n")) for line in lines]
    return "\n".join(rows) + "\n"


def printed_rows(stdout, golden):
    """The lines of the print sink, one field each."""
    header = open(golden, encoding="utf-8").readline()
    return header + "".join(field(line) + "\n" for line in stdout.splitlines())


def run(name, arguments, data, schemas):
    script = os.path.join(HERE, "scripts", name + ".sql")
    golden = os.path.join(HERE, "golden", name + ".csv")
    with tempfile.TemporaryDirectory() as out:
        command = [arguments.headwater, "sql", "-f", script, "-D", "DATA=" + data, "-D", "OUT=" + out,
                   "--output", "csv", "--null", "\\N"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout, check=False)
        except subprocess.TimeoutExpired:
            return False, "did not end within %d s" % arguments.timeout
        if "panicked" in done.stderr:
            return False, "panicked: " + done.stderr.strip()[-200:]
        if "error" in schemas.get(name, {}):
            return done.returncode != 0, "Flink refuses it, we answered" if done.returncode == 0 else "refused, as Flink does"
        if done.returncode != 0:
            lines = [line.strip(" ×│|") for line in done.stderr.splitlines() if line.strip()]
            return False, " ".join(lines[:2])[:160]
        if not os.path.exists(golden):
            return False, "no answer to compare with"
        text = open(script, encoding="utf-8").read()
        if "${OUT}" in text:
            ours = written_rows(out, golden)
        elif "'print'" in text:
            ours = printed_rows(done.stdout, golden)
        else:
            ours = done.stdout
        path = os.path.join(out, ".ours.csv")
        with open(path, "w", encoding="utf-8", newline="") as handle:
            handle.write(ours)
        compared = subprocess.run([sys.executable, os.path.join(HERE, "compare.py"), golden, path],
                                  capture_output=True, text=True, check=False)
        return compared.returncode == 0, " / ".join(compared.stdout.strip().splitlines()[:3]) or compared.stderr[-200:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--headwater", required=True)
    parser.add_argument("--expected")
    parser.add_argument("--timeout", type=int, default=120)
    arguments = parser.parse_args()
    with open(os.path.join(HERE, "golden", "schemas.json"), encoding="utf-8") as handle:
        schemas = json.load(handle)
    every = sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(HERE, "scripts", "*.sql")))
    names = arguments.names or every
    agreed = []
    with tempfile.TemporaryDirectory() as data:
        subprocess.run([sys.executable, os.path.join(HERE, "gen.py"), "golden", "--out", data], check=True)
        for name in names:
            agrees, why = run(name, arguments, data, schemas)
            agreed += [name] if agrees else []
            print(f"{'agrees ' if agrees else 'differs'}  {name:28} {why}", flush=True)
    print(f"{len(agreed)} of {len(names)} agree")
    if arguments.expected:
        with open(arguments.expected, encoding="utf-8") as handle:
            expected = {line.strip() for line in handle if line.strip() and not line.startswith("#")}
        missing = sorted((expected & set(names)) - set(agreed))
        if missing:
            print("no longer agree: " + ", ".join(missing))
            sys.exit(1)


if __name__ == "__main__":
    main()
