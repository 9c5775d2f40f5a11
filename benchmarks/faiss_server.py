"""The other way to serve the same vectors: FAISS behind FastAPI. benchmarks/retrieval.py starts it.

It is given all that is known to make it fast: uvloop and httptools, as many processes as cores, bodies and answers that
only orjson touches, no validation, an endpoint in the event loop (a search takes less than handing it to a thread),
FAISS on one thread a process.
"""

import os
from typing import Any

import faiss
import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

faiss.omp_set_num_threads(1)
folder = os.environ["FAISS_FOLDER"]
indexes = {"flat": faiss.read_index(f"{folder}/flat"), "hnsw": faiss.read_index(f"{folder}/hnsw")}
ef_search = int(os.environ["FAISS_EF_SEARCH"])
indexes["hnsw"].hnsw.efSearch = ef_search


def within() -> dict[str, dict[str, Any]]:
    """Return for each category of 1 % how the indexes search in it: the flat one looks at its items only."""
    found = {}
    with np.load(f"{folder}/categories.npz") as stored:
        names, category = stored["names"], stored["category"]
    sections = np.array([" > ".join(name.split(" > ")[:2]) for name in names])
    for section in np.unique(sections):
        items = np.flatnonzero((sections == section)[category])
        found[str(section)] = {
            "flat": faiss.SearchParameters(sel=faiss.IDSelectorArray(items)),
            "hnsw": faiss.SearchParametersHNSW(sel=faiss.IDSelectorBatch(items), efSearch=ef_search),
        }
    return found


categories = within()
app = FastAPI()


@app.post("/{kind}")
async def nearest(kind: str, request: Request) -> Response:
    body = orjson.loads(await request.body())
    vector, category = np.array([body["vector"]], dtype=np.float32), body.get("category")
    parameters = None if category is None else categories[category][kind]
    scores, items = indexes[kind].search(vector, body["k"], params=parameters)
    return Response(
        orjson.dumps({"items": items[0], "scores": scores[0]}, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
    )
