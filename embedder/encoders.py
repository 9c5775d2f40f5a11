"""Text encoders: sentence-transformers models that turn texts into vectors. Only this module loads them."""

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aisle.db import Connection, errors, model_registry
from aisle.embedder.model_folders import model_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PROMPTS = {"intfloat/multilingual-e5": "query: ", "intfloat/e5": "query: "}  # the prefix that a family was trained with

BATCH = 64  # texts that go through the model at once
SAMPLE, MOST_UNKNOWN = 1000, 0.9  # sampled texts, and largest share of unknown words

Floats = NDArray[np.float32]


def encoder_text(name: str | None, manufacturer: str | None, details: str | None) -> str:
    """Return an item's text for an encoder: `name | manufacturer | details`, without missing parts."""
    return " | ".join(part.strip() for part in (name, manufacturer, details) if part and part.strip())


def prompt_for(name: str) -> str | None:
    """Return the prefix of every query that a family of encoders was trained with."""
    return next((prompt for family, prompt in PROMPTS.items() if name.startswith(family)), None)


def load_pretrained(name: str, *, max_length: int | None = None) -> "SentenceTransformer":
    """Load a Hugging Face name or a local folder, with mean pooling if the model has no pooling.

    Raises EncoderNotFoundError if there is no such folder and the hub does not know the name or cannot be reached, and
    UnusableEncoderError if it cannot be loaded.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar, set_verbosity_error
    except ImportError as error:
        raise errors.MissingExtraError(
            "A transformer encoder needs sentence-transformers and torch.", hint="pip install '.[train]'"
        ) from error
    prompt = prompt_for(name)
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would show the reading of a local file
    set_verbosity_error()  # type: ignore[no-untyped-call]  # we report errors ourselves
    try:
        model = SentenceTransformer(name, device=None, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except MemoryError:
        raise
    except Exception as error:  # libraries raise any type for a damaged file
        if (Path(name) / "config.json").is_file() or not isinstance(error, OSError | ValueError):
            raise errors.UnusableEncoderError(f"The encoder {name!r} cannot be loaded: {_first_line(error)}") from error
        raise errors.EncoderNotFoundError(
            f"The encoder {name!r} is neither a local folder nor a model that the Hugging Face hub returned.",
            hint="Offline? Give --encoder the folder of a downloaded model (config.json, tokenizer, "
            "model.safetensors), or use --encoder ngram, which needs none.",
        ) from error
    if missing := _missing_weights(model, Path(name)):
        raise errors.UnusableEncoderError(
            f"The files of the encoder {name!r} lack weights, such as {missing[0]}.",
            hint="Download it again. Are config.json and the weights from one encoder?",
        )
    if prompt:
        model.prompts = {**model.prompts, "item": prompt}
        model.default_prompt_name = "item"
    if max_length:
        model.max_seq_length = max_length
    return model


def _missing_weights(model: "SentenceTransformer", folder: Path) -> list[str]:
    """Return the weights that a local encoder's files lack; the library silently draws them at random."""
    from safetensors import safe_open

    transformer: Any = model[0].auto_model
    stored: set[str] = set()
    for path in [*folder.glob("*.safetensors"), *folder.glob("0_*/*.safetensors")]:
        with safe_open(path, "numpy") as file:
            stored |= {name.removeprefix(f"{transformer.base_model_prefix}.") for name in file.keys()}  # noqa: SIM118
    parts = [name for name, _ in transformer.named_parameters() if not name.startswith("pooler.")]
    return [name for name in parts if name not in stored] if stored else []


def make_usable(model: "SentenceTransformer", name: str, report: Callable[[str], None] = lambda line: None) -> None:
    """Make a pretrained encoder trainable, report the changes, and try it.

    Raises UnusableEncoderError if that fails: better now than after an hour.
    """
    import torch

    transformer: Any = model[0].auto_model
    tokenizer = model.tokenizer
    longest = positions(transformer)
    if longest is not None and (model.max_seq_length or longest + 1) > longest:
        report(
            f"The encoder {name} reads {longest} tokens at most: --max-length is {longest}, not {model.max_seq_length}."
        )
        model.max_seq_length = longest
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise errors.UnusableEncoderError(f"The tokenizer of the encoder {name!r} has no token to pad texts with.")
        report(f"The tokenizer of {name} has no token to pad texts with; {tokenizer.eos_token!r} takes its place.")
        tokenizer.pad_token = tokenizer.eos_token
        transformer.config.pad_token_id = tokenizer.pad_token_id
    known, tokens = transformer.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values()) + 1
    if tokens > known:
        raise errors.UnusableEncoderError(
            f"The tokenizer of the encoder {name!r} has {tokens:,} tokens, and the model vectors for {known:,}.",
            hint="Are tokenizer and model from one encoder? Download it again, or take another --encoder.",
        )
    for part, parameter in transformer.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise errors.UnusableEncoderError(
                f"The weights of the encoder {name!r} contain NaN or infinity, in {part}."
            )
    try:
        vectors = Encoder(model).encode_texts(["", "a", "tea 1 " * (model.max_seq_length or 1)])
    except Exception as error:
        raise errors.UnusableEncoderError(
            f"The encoder {name!r} fails on a short text: {_first_line(error)}"
        ) from error
    if not np.isfinite(vectors).all():
        raise errors.UnusableEncoderError(f"The encoder {name!r} returns NaN or infinity for a short text.")


def check_words(model: "SentenceTransformer", name: str, texts: Sequence[str]) -> None:
    """Raise UnusableEncoderError if the tokenizer knows almost no words of a sample of the texts."""
    tokenizer = model.tokenizer
    sample = [text for text in texts[:: max(1, len(texts) // SAMPLE)] if text]
    tokens = (
        [token for ids in tokenizer(sample, add_special_tokens=False)["input_ids"] for token in ids] if sample else []
    )
    if tokenizer.unk_token_id is None or not tokens:
        return
    unknown = tokens.count(tokenizer.unk_token_id) / len(tokens)
    if unknown > MOST_UNKNOWN:
        raise errors.UnusableEncoderError(
            f"The encoder {name!r} does not know {unknown:.0%} of the catalogue's words.",
            hint="Does its folder have a tokenizer (tokenizer.json, or vocab.txt), and does it know the language?",
        )


def positions(transformer: Any) -> int | None:
    """Return the number of positions of a model; None: any number of tokens."""
    table: Any = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    if hasattr(table, "num_embeddings"):  # some, such as RoBERTa, number positions from the padding's number on
        padding: int | None = table.padding_idx
        return int(table.num_embeddings) - (0 if padding is None else padding + 1)
    found = getattr(transformer.config, "max_position_embeddings", None)
    return int(found) if found else None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0].rstrip('.')}."


class Encoder:
    """A fine-tuned encoder, ready to turn item texts into vectors."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model.eval()

    @classmethod
    def from_database(cls, connection: Connection, model_id: int) -> "Encoder":
        """Load the encoder that is stored with a model."""
        with model_folder() as folder:
            model_registry.read_files(connection, model_id, folder)
            return cls(load_pretrained(str(folder)))

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of texts, (texts, dimensions)."""
        return self.encode(self.tokenise(texts))

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of texts, cut to the model's length."""
        if not texts:
            return []
        prompt = self.model.prompts.get(self.model.default_prompt_name or "") or ""
        tokens = self.model.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.model.max_seq_length
        )
        nothing = [self.model.tokenizer.pad_token_id]  # for a text without tokens
        return [ids or nothing for ids in tokens["input_ids"]]

    def encode(self, tokens: Sequence[list[int]]) -> Floats:
        """Return the vectors of tokenised texts, (texts, dimensions).

        Only texts of one length share a batch. With padding, rounding would depend on the other texts, and change a
        vector by up to a hundredth of its length.
        """
        import torch

        vectors = np.empty((len(tokens), self.model.get_embedding_dimension() or 0), dtype=np.float32)
        with torch.inference_mode(), autocast(self.model.device.type):
            for rows in _batches(tokens):
                features = self.model.tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
                embedded = self.model(dict(features.to(self.model.device)))["sentence_embedding"]
                vectors[rows] = embedded.float().cpu().numpy()
        return vectors


def _batches(tokens: Sequence[list[int]]) -> Iterator[list[int]]:
    """Yield indexes of texts of one length, at most BATCH at once, the longest first."""
    by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i]), reverse=True)
    for _, places in itertools.groupby(by_length, key=lambda i: len(tokens[i])):
        same = list(places)
        for start in range(0, len(same), BATCH):
            yield same[start : start + BATCH]


def bf16_is_native() -> bool:
    """Return whether the device has instructions for bfloat16 products."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def autocast(device: str) -> contextlib.AbstractContextManager[object]:
    """Compute in bfloat16 if the processor has instructions for it, else in full precision."""
    import torch

    return torch.autocast(device, torch.bfloat16) if bf16_is_native() else contextlib.nullcontext()
