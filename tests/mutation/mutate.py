#!/usr/bin/env python3
"""Small planted bugs, one at a time, and whether the tests see them. For development, never in CI.

tests/mutation/mutate.py --room distill --seed 1 --count 10

Compiles the one changed object, links it in front of the rooms' libraries into the test programs of the room and of the
rooms above, and runs those until one fails. Every result is a line in the results file; a mutant that stands there is
not tried again, so a run that was stopped goes on. README.md has the rest.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Quick ones first. A pair is a program and the names of the cases it is asked for.
GOLDEN = ("golden_tests", "every architecture*")
TESTS = {
    "ops": [("ops_tests", ""), ("nn_tests", ""), ("quant_tests", ""), GOLDEN],
    "nn": [("nn_tests", ""), ("models_tests", ""), ("distill_tests", ""), GOLDEN],
    "models": [("models_tests", ""), ("distill_tests", ""), GOLDEN],
    "quant": [("quant_tests", ""), ("optim_tests", ""), ("distill_tests", ""), ("export_tests", ""), GOLDEN],
    "distributed": [("distributed_tests", "")],
    "optim": [("optim_tests", ""), ("distill_tests", ""), GOLDEN],
    "distill": [("distill_tests", ""), GOLDEN],
    "checkpoint": [("checkpoint_tests", ""), GOLDEN],
}
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
             "&&": "||", "||": "&&", "+=": "-=", "-=": "+="}
CALLS = {"add_": "sub_", "sub_": "add_", "mul_": "div_", "div_": "mul_", "min": "max", "max": "min", "add": "sub"}


def code_of(line):
    """The line without its comment and with literals blanked out: nothing in those is changed."""
    line = re.sub(r'"(\\.|[^"\\])*"', lambda m: " " * len(m.group()), line)
    return line.split("//")[0]


def mutants_of(path):
    """All (line number, kind, new line) of a source file."""
    found, message = [], 0
    for number, line in enumerate(path.read_text().split("\n")):
        code = code_of(line)
        # Words of messages are for people; assertions are about our own mistakes.
        if message > 0 or re.search(r"\bthrow\b|LB_ASSERT|log_(info|warning)", code):
            message += code.count("(") - code.count(")")
            message = max(message, 0)
            continue
        if not code.strip() or code.lstrip().startswith(("#", "using", "template", "namespace")):
            continue

        def change(begin, end, new, kind):
            found.append((number, kind, line[:begin] + new + line[end:]))

        for m in re.finditer(r" (\+=|-=|<=|>=|==|!=|&&|\|\||[-+*/<>]) ", code):
            change(m.start(1), m.end(1), OPERATORS[m.group(1)], "operator")
        for m in re.finditer(r"(?<![\w.])(\d+)(?![\w.'])", code):
            change(m.start(1), m.end(1), str(int(m.group(1)) + 1), "off by one")
        for m in re.finditer(r"(?<![\w.])(\d+\.\d+|\d+e-?\d+)(?!\w)", code):
            change(m.start(1), m.end(1), "(2 * %s)" % m.group(1), "constant")
        for m in re.finditer(r"[.:](add_|sub_|mul_|div_|min|max|add)\(", code):
            change(m.start(1), m.end(1), CALLS[m.group(1)], "call")
        for m in re.finditer(r"\b(\w+)\(([\w.\[\]>-]+), ([\w.\[\]>-]+)\)", code):
            if m.group(2) != m.group(3):
                change(m.start(2), m.end(3), m.group(3) + ", " + m.group(2), "swapped arguments")
        if code.count("(") == code.count(")") and re.fullmatch(r"\s+(if \(.*\) )?[\w.\[\]>-]+(\(.*\)| [-+*/]?= .*);\s*", code) \
                and not re.match(r"\s+return", code):
            found.append((number, "dropped statement", ";"))
        for m in re.finditer(r"\bif \((?!constexpr)", code):
            change(m.end(), m.end(), "false && ", "condition never")
        for m in re.finditer(r"\b(true|false)\b", code):
            change(m.start(), m.end(), "false" if m.group() == "true" else "true", "flag")
    return found


def choose(room, seed, count):
    every = []
    for path in sorted((ROOT / "src" / room).glob("*.cpp")):
        if path.name == "options.cpp":
            continue  # declarations: names, ranges, help
        every += [(path, *mutant) for mutant in mutants_of(path)]
    random.Random(f"{room}/{seed}").shuffle(every)
    return every[:count]


class Builder:
    def __init__(self, build, scratch):
        self.build, self.scratch = build, scratch
        self.commands = {e["file"]: e for e in json.loads((build / "compile_commands.json").read_text())}
        self.links = {}

    def run(self, words, cwd, limit, **more):
        try:
            return subprocess.run(words, cwd=cwd, timeout=limit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  **more).returncode
        except subprocess.TimeoutExpired:
            return -1

    def compile(self, source, text):
        entry = self.commands[str(source)]
        words = shlex.split(entry["command"])
        while "c++" not in words[0] and "g++" not in words[0]:
            words.pop(0)  # ccache and what sets its variables
        # Beside the original in name only: its quoted headers are found from there.
        changed, target = self.scratch / source.name, self.scratch / "mutant.o"
        changed.write_text(text)
        words[words.index("-o") + 1] = str(target)
        words[words.index("-c") + 1] = str(changed)
        words += ["-iquote", str(source.parent), "-w"]
        target.unlink(missing_ok=True)
        return self.run(words, entry["directory"], 300) == 0

    def link(self, program):
        if program not in self.links:
            lines = subprocess.run(["ninja", "-t", "commands", f"bin/{program}"], cwd=self.build, check=True,
                                   capture_output=True, text=True).stdout.strip().split("\n")
            self.links[program] = lines[-1]
        target = self.scratch / program
        line = self.links[program].replace(f"-o bin/{program}", f"{self.scratch}/mutant.o -o {target}")
        return target if self.run(["bash", "-c", line], self.build, 120) == 0 else None

    def fails(self, room, limit, quick):
        """The first program that fails, "" where none does, "does not link"."""
        for program, cases in TESTS[room]:
            if quick and cases:
                continue
            target = self.link(program)
            if target is None:
                return "does not link"
            words = [str(target)] + ([cases] if cases else [])
            code = self.run(words, self.scratch, limit)
            target.unlink()
            if code != 0:
                return program + (" (time)" if code == -1 else "")
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--room", required=True, choices=sorted(TESTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="built, with tests; is not changed")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "tests" / "mutation" / "results.jsonl")
    parser.add_argument("--limit", type=int, default=240, help="seconds a test program may take")
    parser.add_argument("--quick", action="store_true", help="unit tests only: what they miss counts as survived")
    parser.add_argument("--list", action="store_true", help="show the mutants, try none")
    options = parser.parse_args()

    chosen = choose(options.room, options.seed, options.count)
    done = set()
    if options.results.exists():
        done = {tuple(r[k] for k in ("file", "before", "after", "line"))
                for r in map(json.loads, options.results.read_text().splitlines())}
    os.nice(10)
    with tempfile.TemporaryDirectory() as scratch:
        builder = Builder(options.build.resolve(), pathlib.Path(scratch))
        for path, number, kind, after in chosen:
            lines = path.read_text().split("\n")
            record = {"file": str(path.relative_to(ROOT)), "line": number + 1, "kind": kind,
                      "before": lines[number].strip(), "after": after.strip()}
            if options.list:
                print(json.dumps(record))
                continue
            if tuple(record[k] for k in ("file", "before", "after", "line")) in done:
                continue
            begin = time.time()
            lines[number] = after
            if not builder.compile(path, "\n".join(lines)):
                record["result"] = "does not compile"
            else:
                by = builder.fails(options.room, options.limit, options.quick)
                record["result"] = "does not compile" if by == "does not link" else "killed" if by else "survived"
                record["by"] = by
            record["seconds"] = round(time.time() - begin)
            with options.results.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    sys.exit(main())
