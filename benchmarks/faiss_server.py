"""The other way to serve the same vectors: FAISS behind FastAPI. benchmarks/retrieval.py starts it.

It is given all that is known to make it fast: uvloop and httptools, as many processes as cores, bodies and answers that
only orjson touches, no validation, an endpoint in the event loop (a search takes less than handing it to a thread),
FAISS on one thread a process.
"""

import os

import faiss
import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

faiss.omp_set_num_threads(1)
folder = os.environ["FAISS_FOLDER"]
indexes = {"flat": faiss.read_index(f"{folder}/flat"), "hnsw": faiss.read_index(f"{folder}/hnsw")}
indexes["hnsw"].hnsw.efSearch = int(os.environ["FAISS_EF_SEARCH"])
app = FastAPI()


@app.post("/{kind}")
async def nearest(kind: str, request: Request) -> Response:
    body = orjson.loads(await request.body())
    scores, items = indexes[kind].search(np.array([body["vector"]], dtype=np.float32), body["k"])
    return Response(
        orjson.dumps({"items": items[0], "scores": scores[0]}, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
    )
