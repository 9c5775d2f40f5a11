"""Fine-tunes a sentence-transformers encoder for categories.

    transformer → mean over tokens → linear to 256 → unit length → linear head

The loop is Hugging Face's Trainer (mixed precision, accumulation, checkpoints, several GPUs under `accelerate launch`).
After a killed run, the same command on the same data continues from the last epoch.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from aisle.db import embedded, errors
from aisle.embedder.encoders import (
    Encoder,
    Floats,
    bf16_is_native,
    check_words,
    load_pretrained,
    make_usable,
    positions,
)
from aisle.trainers.category.options import FineTuningOptions
from aisle.trainers.category.path_loss import PathLoss
from aisle.trainers.category.products import Catalogue
from aisle.trainers.run import leave_unless_leader
from aisle.trainers.task import Report

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Mixed-precision AdamW keeps, for each trained parameter, a master copy, a gradient and two moments (MODEL STATES in
# Rajbhandari et al., "ZeRO", SC 2020, section 3.1).
BYTES_PER_TRAINED_PARAMETER = 16
BYTES_PER_FROZEN_PARAMETER = 4
ACTIVATION_RESERVE = 1.5e9  # bytes, with gradient checkpointing, for MICRO_BATCH texts
MICRO_BATCH = 16  # texts a step under --fit-in
COSINE_SCALE = 16.0  # initial length of a category's vector; the encoder's vectors have length 1
SMALL_MODEL = 60e6  # parameters; below it a higher learning rate is stable


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned encoder, its vectors of the whole catalogue, and its head."""

    model: "SentenceTransformer"
    vectors: Floats  # (catalogue, dimensions), of length 1
    weight: Floats  # (categories, dimensions)
    options: FineTuningOptions
    folder: Path

    def logits(self) -> Floats:
        """Return the logits of the whole catalogue, (catalogue, categories)."""
        return self.vectors @ self.weight.T

    def store(self, projection: Floats) -> tuple[Path, Floats]:
        """Append a last linear layer, (dimensions, dimensions); return the folder to store, and all vectors."""
        from sentence_transformers.sentence_transformer.modules import Dense

        width = projection.shape[0]
        last = Dense(width, projection.shape[1], bias=False, activation_function=nn.Identity())
        last.linear.weight.data = torch.from_numpy(projection.T.copy())
        self.model.append(last.to(self.model.device))
        final = self.folder / "encoder"
        shutil.rmtree(final, ignore_errors=True)
        self.model.save(str(final), create_model_card=False)
        return final, self.vectors @ projection


@dataclass(frozen=True)
class EncoderStart:
    """A fine-tuned encoder for a warm start."""

    model: "SentenceTransformer"  # as stored, with the appended last layer
    weight: Floats  # (categories, dimensions), zeros for a new category
    digest: str  # of its files


def fine_tune(
    name: str,
    catalogue: Catalogue,
    labels: npt.NDArray[np.int64],
    training: npt.NDArray[np.bool_],
    validation: npt.NDArray[np.bool_],
    paths: Sequence[Sequence[str]],
    options: FineTuningOptions,
    *,
    seed: int,
    report: Report,
    start: EncoderStart | None = None,
) -> FineTuned:
    """Train on the rows of `training`, stop early by those of `validation`, and encode the whole catalogue.

    `labels` are indexes of `paths`, one path a category.
    """
    from transformers import set_seed

    set_seed(seed)
    model = build(name, options, report) if start is None else without_projection(start.model, options)
    options = replace(options, max_length=model.max_seq_length)
    texts = catalogue.encoder_texts()
    check_words(model, name, texts)
    options = fit_in_memory(model, options, report) if options.fit_in else options
    initial = None if start is None else start.digest
    key = json.dumps([version("aisle"), name, asdict(options), seed, catalogue.fingerprint(), paths, initial])
    folder = embedded.home() / "training" / hashlib.sha256(key.encode()).hexdigest()[:16]
    classifier = Classifier(model, paths, options)
    if start is not None:
        known = torch.from_numpy(start.weight.any(axis=1))
        classifier.head.weight.data[known] = torch.from_numpy(start.weight)[known]
    report(f"Fine-tuning {name}; an interrupted run continues from {folder} …")
    dataset = _tokenise(model, texts, labels)
    _run(classifier, [dataset[i] for i in np.flatnonzero(training)], [dataset[i] for i in np.flatnonzero(validation)],
         options, folder, seed, report)  # fmt: skip
    report("Encoding the catalogue …")
    weight = classifier.head.weight.detach().float().cpu().numpy().copy()
    return FineTuned(model, Encoder(model).encode_texts(texts), weight, options, folder)


class Classifier(nn.Module):
    """The encoder under its head."""

    def __init__(self, encoder: Any, paths: Sequence[Sequence[str]], options: FineTuningOptions) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(options.dimensions, len(paths), bias=False)
        nn.init.normal_(self.head.weight, std=COSINE_SCALE / options.dimensions**0.5)
        self.loss = PathLoss(paths, options.label_smoothing)
        transformer = encoder[0].auto_model
        if options.gradient_checkpointing:
            transformer.activation_checkpointing_enable()
        if options.freeze_word_embeddings:
            transformer.get_input_embeddings().requires_grad_(False)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return loss and logits, (batch, categories)."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        vectors = self.encoder(features)["sentence_embedding"]  # (batch, dimensions)
        logits = self.head(vectors).float()
        return {"loss": self.loss(logits, labels), "logits": logits}


def build(name: str, options: FineTuningOptions, report: Report = lambda line: None) -> Any:
    """Return transformer → mean → linear to `dimensions` → unit length, from a pretrained name or folder.

    Raises EncoderNotFoundError and UnusableEncoderError.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    pretrained = load_pretrained(name, max_length=options.max_length)
    make_usable(pretrained, name, report)
    transformer = cast(Transformer, pretrained[0])
    width = transformer.get_embedding_dimension()
    return SentenceTransformer(
        modules=[
            transformer,
            Pooling(width, "mean"),
            Dense(width, options.dimensions, activation_function=nn.Identity()),
            Normalize(),
        ],
        prompts={name: prompt for name, prompt in pretrained.prompts.items() if prompt},
        default_prompt_name=pretrained.default_prompt_name,
    )


def without_projection(stored: Any, options: FineTuningOptions) -> Any:
    """Return a stored encoder as `build` returns it: without the layer that `FineTuned.store` appended."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        modules=list(stored)[:-1], prompts=stored.prompts, default_prompt_name=stored.default_prompt_name
    )
    model.max_seq_length = min(options.max_length, positions(stored[0].auto_model) or options.max_length)
    return model


def fit_in_memory(model: Any, options: FineTuningOptions, report: Report) -> FineTuningOptions:
    """Choose settings with which training fits into `options.fit_in`; raises InvalidArgumentError if none do."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*GB?\s*", options.fit_in or "", re.IGNORECASE)
    if not match:
        raise errors.InvalidArgumentError(f"--fit-in {options.fit_in!r} is not a size.", hint="Write it as 8GB.")
    memory = float(match[1]) * 1e9
    everything = sum(p.numel() for p in model.parameters())
    words = sum(p.numel() for p in model[0].auto_model.get_input_embeddings().parameters())
    effective = options.batch_size * options.gradient_accumulation
    micro = min(MICRO_BATCH, effective)
    chosen = replace(
        options, gradient_checkpointing=True, batch_size=micro, gradient_accumulation=-(-effective // micro)
    )
    freeze = must_freeze_words(everything, words, memory)
    needed = _training_memory(everything, words, freeze)
    if needed > memory:
        raise errors.InvalidArgumentError(
            f"{everything / 1e6:.0f} M parameters need {needed / 1e9:.1f} GB even with frozen word embeddings.",
            hint="Take a smaller encoder, or a larger --fit-in.",
        )
    report(
        f"To fit in {options.fit_in}: gradient checkpointing, {micro} texts × {chosen.gradient_accumulation} steps, "
        f"word embeddings {'frozen' if freeze else 'trained'}: about {needed / 1e9:.1f} GB."
    )
    return replace(chosen, freeze_word_embeddings=freeze)


def must_freeze_words(parameters: float, word_parameters: float, memory: float) -> bool:
    """Return whether an encoder fits into memory (bytes) only with frozen word embeddings."""
    return _training_memory(parameters, word_parameters, False) > memory


def _training_memory(parameters: float, word_parameters: float, freeze: bool) -> float:
    frozen = word_parameters if freeze else 0
    trained = (parameters - frozen) * BYTES_PER_TRAINED_PARAMETER
    return trained + frozen * BYTES_PER_FROZEN_PARAMETER + ACTIVATION_RESERVE


def _tokenise(model: Any, texts: Sequence[str], labels: npt.NDArray[np.int64]) -> list[dict[str, list[int] | int]]:
    return [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label), "length": len(ids)}
        for ids, label in zip(Encoder(model).tokenise(texts), labels, strict=True)
    ]


def _run(
    classifier: Classifier,
    training: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    options: FineTuningOptions,
    folder: Path,
    seed: int,
    report: Report,
) -> None:
    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    tokenizer = classifier.encoder.tokenizer

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]
        padded = tokenizer.pad(inputs, return_tensors="pt")
        return {**padded, "labels": torch.tensor([row["labels"] for row in rows])}

    class Epochs(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            metrics = kwargs["metrics"]
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            report(
                f"  epoch {state.epoch:.0f}/{options.epochs}: loss {losses[-1] if losses else float('nan'):.3f}, "
                f"validation accuracy {metrics['eval_accuracy']:.4f}, loss {metrics['eval_loss']:.3f}"
            )

    on_gpu = torch.cuda.is_available()
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if bf16_is_native() else "fp16" if on_gpu else "fp32"
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=4 * options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation,
        warmup_steps=options.warm_up,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        log_level="error",
        seed=seed,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
    )
    trainer = Trainer(
        model=classifier,
        args=arguments,
        data_collator=collate,
        train_dataset=training,
        eval_dataset=validation,
        compute_metrics=lambda prediction: {
            "accuracy": float((np.asarray(prediction.predictions).argmax(-1) == prediction.label_ids).mean())
        },
        callbacks=[Epochs(), *([EarlyStoppingCallback(options.early_stopping)] if options.early_stopping else [])],
        optimizers=(_optimiser(classifier, options), None),
    )
    trainer.pop_callback(PrinterCallback)
    checkpoint = _last_checkpoint(folder / "checkpoints")
    if checkpoint:
        report("Continuing from the last epoch of an earlier run.")
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.accelerator.wait_for_everyone()  # another process may be reading a checkpoint
    leave_unless_leader()
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint: the Trainer writes its state last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _optimiser(classifier: Classifier, options: FineTuningOptions) -> torch.optim.Optimizer:
    small = sum(p.numel() for p in classifier.encoder.parameters()) < SMALL_MODEL
    body_rate = options.learning_rate or (2e-4 if small else 3e-5)
    transformer, *rest = classifier.encoder
    body = [p for p in transformer.parameters() if p.requires_grad]
    new = [p for module in (*rest, classifier.head) for p in module.parameters()]
    return torch.optim.AdamW(
        [{"params": body, "lr": body_rate}, {"params": new, "lr": options.head_learning_rate}], weight_decay=0.01
    )
