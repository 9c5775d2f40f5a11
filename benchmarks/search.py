"""Does search_items find the product that is named, and products that have a word?

    python benchmarks/search.py ko_cosmetics:category bigbasket:level_2 --data ../shared/data

A name is found if the product or one of the same name is among the first 10. Each set takes a fresh database through
import → attach → train → SQL; all its rows are the catalogue.
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from category import prepare

from aisle import db
from aisle.db import embedded
from aisle.trainers.category import task as category
from aisle.trainers.run import train

NAMES = 300
WORDS = 30  # queries of one word that 10 to 60 names have
FOUND = "select p.name from aisle.search_items(%s, 10) s join shop.products p on p.id::text = s.item_id order by s.rank"
Change = Callable[[str, np.random.Generator], str]


def two_slips(name: str, random: np.random.Generator) -> str:
    """Replace two characters by others of the name, as if typed in the wrong place."""
    characters = list(name)
    for place in random.choice(len(characters), size=min(2, len(characters)), replace=False):
        characters[place] = str(random.choice(list(name.replace(" ", ""))))
    return "".join(characters)


CHANGES: dict[str, Change] = {
    "exact name": lambda name, _: name,
    "without spaces": lambda name, _: name.replace(" ", ""),
    "two slips": two_slips,
    "first two words": lambda name, _: " ".join(name.split()[:2]),
    "last two words": lambda name, _: " ".join(name.split()[-2:]),
}


def measure(server: str, data: Path, name: str, target: str) -> dict[str, Any]:
    """Train on a set, and ask for its names and words."""
    url = prepare(server, data, name, target, None, None)
    train(category.TASK, url, category.Options(baseline=False, deploy=True), lambda line: None)
    random = np.random.default_rng(7)
    with db.connect(url) as connection:
        names = [row[0] for row in connection.execute("select distinct name from shop.products order by name")]

        def found(query: str) -> list[str]:
            return [row[0] for row in connection.execute(FOUND, (query,))]

        asked = [names[n] for n in random.permutation(len(names))[:NAMES]]
        result: dict[str, Any] = {"data": name, "target": target, "names": len(asked)}
        for change, make in CHANGES.items():
            result[change] = round(float(np.mean([given in found(make(given, random)) for given in asked])), 4)
        counts: dict[str, int] = {}
        for given in names:
            for word in {word.lower() for word in given.split() if word.isalpha() and len(word) > 1}:
                counts[word] = counts.get(word, 0) + 1
        words = sorted(word for word, count in counts.items() if 10 <= count <= 60)
        some = [words[n] for n in random.permutation(len(words))[:WORDS]]
        result["hits that have the word"] = round(
            float(np.mean([np.mean([word in hit.lower() for hit in found(word)]) for word in some])), 4
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME:TARGET")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(json.dumps({"commit": commit}))
    server = embedded.start()
    for one in arguments.sets:
        print(json.dumps(measure(server, arguments.data, *one.split(":")), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
