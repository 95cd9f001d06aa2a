"""A classifier of reports in the format of Hugging Face: config.json, safetensors, tokenizer."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ctprep.reports.device import choose_device
from ctprep.reports.labels.classifier import ReportClassifier
from ctprep.reports.labels.tensor_file import refuse_differences
from ctprep.reports.model_folder import FoundModel, find_model
from ctprep.store.errors import BackendError
from ctprep.store.labels import CT_RATE_LABELS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_CONTEXT = 512
_OFFSET_BEHIND_PAD = {"roberta", "xlm-roberta", "camembert", "longformer"}
"""Models whose positions count from behind the pad token."""
_DEAD = ("pooler.", "position_ids")
"""Parts of names that take no part, where a folder has them and the model has not."""
_NAMES_MEND = (
    "write the 18 names of CT-RATE's label table into id2label of its config.json, in the order "
    "that it was trained with"
)


def load_folder(found: FoundModel, tokenizer: str | None) -> ReportClassifier:
    """Load a model folder onto the best device; code that comes with it never runs.

    Args:
        found: folder with the weights.
        tokenizer: another folder, or name, to take the tokenizer from.

    Raises:
        BackendError: transformers does not know the model, or its labels are not CT-RATE's.
        CheckpointError: weights are missing, unknown or of another shape.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    device, dtype = choose_device()
    words = found.folder if tokenizer is None else find_model(tokenizer).folder
    try:
        config = AutoConfig.from_pretrained(found.folder, **options)
        names = _read_names(config.id2label, found.label)
        encoder = AutoTokenizer.from_pretrained(words, **options)
        with _quiet():
            model, told = AutoModelForSequenceClassification.from_pretrained(
                found.folder,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except BackendError:
        raise
    except Exception as error:  # Three libraries, each with its own; tokenizers' are plain.
        raise BackendError(
            f"the classifier cannot be loaded: {(str(error).splitlines() or [''])[0]}",
            mend="give a folder with config.json, tokenizer and safetensors of a model that "
            "transformers knows; pickles and code that comes with a model are not run",
            where=found.label,
        ) from error
    refuse_differences(
        [f"missing: {name}" for name in sorted(told["missing_keys"])],
        [
            f"unknown: {name}"
            for name in sorted(told["unexpected_keys"])
            if not any(part in name for part in _DEAD)
        ],
        [
            f"of another shape: {name} {tuple(theirs)}, not {tuple(ours)}"
            for name, theirs, ours in sorted(told["mismatched_keys"])
        ],
        where=found.label,
        mend="give the folder of the whole classifier; its config.json must name the architecture "
        "that the weights are of",
    )
    if len(encoder) > config.vocab_size or encoder.pad_token_id != config.pad_token_id:
        raise BackendError(
            f"the tokenizer has {len(encoder)} tokens and pads with {encoder.pad_token_id}, the "
            f"model has {config.vocab_size} and {config.pad_token_id}",
            mend="give the tokenizer that the classifier was trained with",
            where=found.label,
        )
    model = model.to(device).eval()
    return ReportClassifier(
        label=found.label,
        tokenizer=encoder,
        to_logits=lambda token_ids, mask: model(input_ids=token_ids, attention_mask=mask).logits,
        names=names,
        length=_read_length(config, encoder.model_max_length),
        device=device,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from advising to train what we refuse."""
    from transformers.utils import logging as told

    level = told.get_verbosity()
    told.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        told.set_verbosity(level)


def _read_names(id2label: dict[int, str], where: str) -> tuple[str, ...]:
    """CT-RATE names of the outputs, however they are spelled."""
    known = {_plain(name): name for name in CT_RATE_LABELS}
    given = [str(id2label[number]) for number in sorted(id2label)]
    if strange := [name for name in given if _plain(name) not in known]:
        raise BackendError(
            f"the classifier tells {len(given)} labels, and {strange[0]!r} is none of CT-RATE's "
            f"{len(known)}",
            mend=_NAMES_MEND,
            where=where,
        )
    names = tuple(known[_plain(name)] for name in given)
    if sorted(names) != sorted(CT_RATE_LABELS):
        lost = sorted(set(CT_RATE_LABELS) - set(names)) or ["none"]
        raise BackendError(
            f"the classifier tells {len(names)} labels, and CT-RATE has {len(known)}; without "
            f"an output: {lost[0]}",
            mend=_NAMES_MEND,
            where=where,
        )
    return names


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def _read_length(config: "PreTrainedConfig", longest: int) -> int:
    positions: int = getattr(config, "max_position_embeddings", None) or _CONTEXT
    if config.model_type in _OFFSET_BEHIND_PAD:
        positions -= config.pad_token_id + 1
    return min(positions, longest)
