"""The other way to serve the same categories: the model in torch, behind FastAPI. benchmarks/latency.py starts it.

What aisle._ngrams and aisle._words do in SQL is done here in Python, but for HTML and invisible characters, which the
names here do not have; the vectors are those of the database. It is given all that is known to make it fast: see
faiss_server.py.
"""

import json
import os
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import orjson
import torch
from fastapi import FastAPI, Request, Response
from safetensors.torch import load_file

K = 3
SYLLABLES = re.compile("[\u1100-\U0010ffff]")
SEPARATORS = re.compile(
    "[\u0001-/:-@\\[-`{-\u00bf×÷\u02b0-\u02ff\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f"
    "\u30fb\ue000-\uf8ff\ufe00-\ufe6f\ufff0-\uffff\U0001f000-\U0001faff\U000e0000-\U000e0fff]+"
)

torch.set_num_threads(1)
folder = Path(os.environ["MODEL_FOLDER"])
names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
tensors = load_file(folder / "model.safetensors")
vectors, weight, bias, floor = (tensors[name] for name in ("vectors", "weight", "bias", "floor"))
places = {ngram: place for place, ngram in enumerate(names["ngrams"])}
share = 1 - floor.sum()
app = FastAPI()


def words(text: str | None) -> list[str]:
    composed = unicodedata.normalize("NFKC", (text or "")[:1000])[:1000].lower()
    return [word for word in SEPARATORS.split(composed) if word]


def ngrams(name: str, manufacturer: str | None) -> set[str]:
    of_name, of_maker = words(name), words(manufacturer)
    every = of_maker + of_name
    grams = {f"={word}" for word in every} | {f"{one}+{other}" for one, other in pairwise(every)}
    if of_maker:
        maker = "@" + " ".join(of_maker)
        grams |= {maker, *(f"{maker}*{word}" for word in of_name)}
    for word in every:
        padded = f" {word} "
        for size in range(2 if SYLLABLES.search(word) else 3, 6):
            grams.update(padded[start : start + size] for start in range(len(padded) - size + 1))
    joined = "".join(of_name)
    if SYLLABLES.search(joined):
        for size in range(2, 5):
            grams.update(f"#{joined[start : start + size]}" for start in range(len(joined) - size + 1))
    return grams


@app.post("/")
async def categories(request: Request) -> Response:
    body = orjson.loads(await request.body())
    known = [places[gram] for gram in ngrams(body["name"], body["manufacturer"]) if gram in places]
    with torch.inference_mode():
        vector = vectors[known].sum(0) / max(len(known), 1) ** 0.5  # (dimensions,)
        confidence = share * torch.softmax(weight @ vector + bias, 0) + floor  # (categories,)
        best = confidence.topk(K)
    answer = [(names["categories"][i], c) for i, c in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
    return Response(orjson.dumps(answer), media_type="application/json")
