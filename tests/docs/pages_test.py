"""Checks the pages for people: links lead somewhere, and commands.md has the options that the program has.

    pages_test.py BLOCKTRAIN SOURCE_DIR
"""

import pathlib
import re
import subprocess
import sys

COMMANDS = ("plan", "data", "train", "eval", "generate", "export", "doctor")


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def broken_links(source, page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            yield f"{page.relative_to(source)}: the link {target} leads nowhere"
        elif anchor and anchor not in anchors(file):
            yield f"{page.relative_to(source)}: {target} names no heading of {file.relative_to(source)}"


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help", "--version"}


def wrong_options(blocktrain, source):
    page = (source / "docs/commands.md").read_text(encoding="utf-8")
    sections = {m.group(1): m.group(2) for m in re.finditer(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)}
    for command in COMMANDS:
        help_text = subprocess.run([blocktrain, command, "--help"], check=True, text=True, stdout=subprocess.PIPE,
                                   timeout=60).stdout
        # Of a section, the synopsis and the table: examples have options of other programs.
        section = sections.get(command, "")
        said = options("\n".join(line for line in section.splitlines() if line.startswith(("    ", "| `"))))
        has = options("\n".join(line for line in help_text.splitlines() if re.match(r"\s+-", line)))
        for option in sorted(has - said):
            yield f"docs/commands.md: {command} has {option}, which is not explained"
        for option in sorted(said - has):
            yield f"docs/commands.md: {command} has no {option}"


def main():
    blocktrain, source = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    pages = [source / "README.md", source / "CONTRIBUTING.md", *sorted((source / "docs").glob("*.md"))]
    wrong = [text for page in pages for text in broken_links(source, page)]
    wrong += wrong_options(blocktrain, source)
    print("\n".join(wrong) if wrong else f"{len(pages)} pages, nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
