"""Text encoders: a sentence-transformers model that turns texts into vectors. The only place that loads one."""

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aisle.sql import Connection, errors, registry

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PROMPTS = {"intfloat/multilingual-e5": "query: ", "intfloat/e5": "query: "}  # what a family was trained to be given

BATCH = 64  # texts that go through the model at once
FOLDER_PREFIX = "aisle-encoder-"
LEFTOVER_AGE = 3600  # seconds; no encoder takes that long to load

Floats = NDArray[np.float32]


def encoder_text(name: str | None, manufacturer: str | None, details: str | None) -> str:
    """Return the string that an encoder reads of an item: `name | manufacturer | details`, without what is missing."""
    return " | ".join(part.strip() for part in (name, manufacturer, details) if part and part.strip())


def prompt_for(name: str) -> str | None:
    """Return the text that a family of encoders was trained to see before every query."""
    return next((prompt for family, prompt in PROMPTS.items() if name.startswith(family)), None)


def load_pretrained(name: str, *, max_length: int | None = None) -> "SentenceTransformer":
    """Load a Hugging Face name or a local folder, with mean pooling where the model brings none.

    Raises EncoderNotFoundError when there is no such folder, and the hub does not know the name or cannot be asked.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise errors.MissingExtraError(
            "A transformer encoder needs sentence-transformers and torch.", hint="pip install '.[train]'"
        ) from error
    prompt = prompt_for(name)
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it shows the reading of a local file
    try:
        model = SentenceTransformer(name, device=None, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError) as error:
        raise errors.EncoderNotFoundError(
            f"The encoder {name!r} is neither a local folder nor a model that the Hugging Face hub could be asked for.",
            hint="Offline? Give --encoder the folder of a downloaded model (config.json, tokenizer, "
            "model.safetensors), or use --encoder ngram, which needs none.",
        ) from error
    if prompt:
        model.prompts = {**model.prompts, "item": prompt}
        model.default_prompt_name = "item"
    if max_length:
        model.max_seq_length = max_length
    return model


class Encoder:
    """A fine-tuned encoder, ready to turn item texts into vectors."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model.eval()

    @classmethod
    def from_database(cls, connection: Connection, model_id: int) -> "Encoder":
        """Load the encoder that is stored with a model."""
        _remove_leftovers()
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
            registry.read_files(connection, model_id, Path(folder))
            return cls(load_pretrained(folder))

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of texts, (texts, dimensions)."""
        return self.encode(self.tokenise(texts))

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of texts, cut to what the model reads."""
        if not texts:
            return []
        prompt = self.model.prompts.get(self.model.default_prompt_name or "") or ""
        tokens = self.model.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.model.max_seq_length
        )
        return list(tokens["input_ids"])

    def encode(self, tokens: Sequence[list[int]]) -> Floats:
        """Return the vectors of tokenised texts, (texts, dimensions); texts of like length share a batch."""
        import torch

        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]), reverse=True)
        vectors = np.empty((len(tokens), self.model.get_embedding_dimension() or 0), dtype=np.float32)
        with torch.inference_mode(), autocast(self.model.device.type):
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                features = self.model.tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
                embedded = self.model(dict(features.to(self.model.device)))["sentence_embedding"]
                vectors[rows] = embedded.float().cpu().numpy()
        return vectors


def _remove_leftovers() -> None:
    """Remove the folders of workers that were killed while they loaded an encoder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > LEFTOVER_AGE and not folder.is_symlink():
                shutil.rmtree(folder)


def bf16_is_native() -> bool:
    """Return whether the device that a model would run on has instructions for bfloat16 products."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def autocast(device: str) -> contextlib.AbstractContextManager[object]:
    """Compute in bfloat16 where the processor has instructions for it, else in full precision."""
    import torch

    return torch.autocast(device, torch.bfloat16) if bf16_is_native() else contextlib.nullcontext()
