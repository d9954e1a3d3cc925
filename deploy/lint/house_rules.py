"""House rules that no linter knows, over backend/: `python deploy/lint/house_rules.py`.

- No floats where money is counted: no float literal, `float` or FloatField in the apps. What is no money says so on
  its line, with a name that ends in _seconds or a comment `# not money: …`.
- Today is a date in India, from `license.clock` alone: no `now().date()`, `localdate()`, `date.today()` elsewhere.
- Every .sql file opens with a line that says what it is for, and one place in the code loads it.
- Every test that a document names is there.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BACKEND = CHECKOUT / "backend"
MONEY_APPS = ("license", "ledger", "reconcile", "desk")
NOT_MONEY = re.compile(r"_seconds\b|# not money: ", re.IGNORECASE)
CLOCK = BACKEND / "license" / "clock.py"


def main() -> int:
    faults = [fault for path in sorted(BACKEND.rglob("*.py")) if "migrations" not in path.parts for fault in read(path)]
    faults += [*sql_faults(), *document_faults()]
    for fault in faults:
        print(fault)
    print(f"house rules: {len(faults)} broken" if faults else "house rules: kept")
    return bool(faults)


def read(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        for what in broken_by(node, path):
            if "float" not in what or not NOT_MONEY.search(lines[node.lineno - 1]):
                yield f"{path.relative_to(BACKEND.parent)}:{node.lineno}: {what}"


def broken_by(node: ast.AST, path: Path) -> Iterator[str]:
    if path.relative_to(BACKEND).parts[0] in MONEY_APPS:
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield "a float; money and quantities are Decimal"
        if (isinstance(node, ast.Name) and node.id == "float") or (
            isinstance(node, ast.Attribute) and node.attr == "FloatField"
        ):
            yield "float; money and quantities are Decimal"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and path != CLOCK:
        called = node.func.attr
        of = ast.unparse(node.func.value)
        if called in ("today", "localdate") or (called == "date" and re.search(r"now\(", of)):
            yield f"{of}.{called}(); today is license.clock.business_date()"


def sql_faults() -> Iterator[str]:
    code = [path.read_text(encoding="utf-8") for path in sorted(BACKEND.rglob("*.py"))]
    files = sorted(BACKEND.rglob("*.sql"))
    code += [path.read_text(encoding="utf-8") for path in files]
    for path in files:
        name = path.relative_to(BACKEND.parent)
        if not path.read_text(encoding="utf-8").startswith("-- "):
            yield f"{name}:1: the first line must say what the file is for"
        if not any(re.search(rf"[\"']{path.stem}[\"']|include {path.name} \*/", text) for text in code):
            yield f"{name}: nothing loads it"


def document_faults() -> Iterator[str]:
    tests = sorted((CHECKOUT / "tests").rglob("*.py"))
    there = {path.stem for path in tests}
    there.update(*(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")) for path in tests))
    for path in [*CHECKOUT.glob("*.md"), *sorted((CHECKOUT / "docs").rglob("*.md"))]:
        for named in sorted(set(re.findall(r"\btest_\w+", path.read_text(encoding="utf-8"))) - there):
            yield f"{path.relative_to(CHECKOUT)}: there is no test {named}"


if __name__ == "__main__":
    sys.exit(main())
