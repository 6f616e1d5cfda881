#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""checklist.py TABLE BINARY...: prints the table, and fails where it names a test that none of the binaries has, or
where the number of lines without a test is not the one that the table holds."""
import fnmatch
import re
import subprocess
import sys


def tests_of(binary):
    """Names as the table has them: "Suite.Name"; of a packet script, "name"."""
    names, suite = set(), ""
    for line in subprocess.run([binary, "--gtest_list_tests"], check=True, capture_output=True, text=True).stdout.splitlines():
        line = line.split("#")[0].rstrip()
        if not line or line.startswith("Running main"):
            continue
        if not line.startswith(" "):
            suite = line.rstrip(".").split("/")[-1] if re.match(r"^[A-Z]\w*/\w", line) else line.rstrip(".").split("/")[0]
            continue
        test = line.strip().split("/")[0]
        names.add(suite if test in ("v4", "v6") and suite.islower() else f"{suite}.{test}")
    return names


def main():
    table, binaries = sys.argv[1], sys.argv[2:]
    known = set().union(*(tests_of(b) for b in binaries))
    held, missing, unknown, lines = None, [], [], 0
    for number, line in enumerate(open(table, encoding="utf-8"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("missing "):
            held = int(line.split()[1])
        elif line.startswith("["):
            print(f"\n{line[1:-1]}")
        else:
            # What it does may itself have a "|".
            what, _, named = line.rpartition(" |")
            if not what:
                sys.exit(f"{table}:{number}: no \" | \" in: {line}")
            lines += 1
            shown = [name.strip() for name in named.split(",") if name.strip()]
            for name in shown:
                if not any(fnmatch.fnmatchcase(k, name) for k in known):
                    unknown.append(f"{table}:{number}: there is no test {name}")
            if not shown:
                missing.append(what)
            print(f"  {what:<62} {', '.join(shown) or 'MISSING'}")
    print(f"\n{lines} lines, {len(missing)} of them missing; {len(known)} tests are known")
    for complaint in unknown:
        print(complaint, file=sys.stderr)
    if held is None or lines == 0:
        sys.exit(f"{table}: holds no number of missing lines, or no lines")
    if len(missing) > held:
        sys.exit(f"{table}: {len(missing)} lines are missing, {held} were: {'; '.join(missing)}")
    if len(missing) < held:
        sys.exit(f"{table}: {len(missing)} lines are missing, so say so: \"missing {len(missing)}\"")
    sys.exit(1 if unknown else 0)


if __name__ == "__main__":
    main()
