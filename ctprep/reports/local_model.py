"""The transformers backend: a chat model of this machine answers, in batches, greedily."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctprep.reports.device import choose_device, try_in_memory
from ctprep.reports.model_folder import FoundModel, find_model, missing_extra
from ctprep.reports.prompt import (
    Mode,
    build_messages,
    count_answer_tokens,
    read_prompts,
    read_reply,
)
from ctprep.store.errors import BackendError

if TYPE_CHECKING:
    import torch

BATCH_SIZE = 8
# Answers are saved after this many batches; more of them sort better by length.
_BATCHES_A_CHUNK = 4
_CONTEXT = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """A prompt in tokens, and how many tokens its answer may take."""

    place: int
    """Position in the list of reports."""
    token_ids: list[int]
    limit: int


class TransformersBackend:
    """Asks a chat model that transformers can load; code that comes with a model never runs.

    Args:
        model: folder, or name on the Hugging Face hub that was downloaded before.
        batch_size: reports at once; halved where memory does not suffice.

    Raises:
        BackendError: the model is not here, does not fit, or is no chat model.
    """

    name = "transformers"

    def __init__(self, model: str, *, batch_size: int = BATCH_SIZE) -> None:
        found = find_model(model)
        self.model = found.label
        self.prompt_hash = hashlib.sha256(f"{read_prompts().data_hash} greedy".encode()).hexdigest()
        self.chunk = batch_size * _BATCHES_A_CHUNK
        self.batch_size = batch_size
        """As it is now, after what memory has refused."""
        try:
            self._tokenizer, self._model = _load(found)
        except ImportError as error:
            raise missing_extra("torch and transformers") from error
        self._special = [
            token.content
            for token in self._tokenizer.added_tokens_decoder.values()
            if token.special
        ]

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Answer with the numbers of the sentences to keep."""
        return self.chat("extractive", reports)

    def chat(
        self, mode: Mode, reports: Sequence[Sequence[str]], wrong: Sequence[str] | None = None
    ) -> list[str]:
        """Ask about each report, the longest first; see `ChatBackend.chat`."""
        replies = [""] * len(reports)
        questions = [
            self._ask(place, mode, sentences, None if wrong is None else wrong[place])
            for place, sentences in enumerate(reports)
        ]
        context = getattr(self._model.config.get_text_config(), "max_position_embeddings", _CONTEXT)
        open_ = sorted(
            # What does not fit the model is left without an answer.
            (one for one in questions if len(one.token_ids) + one.limit <= context),
            key=lambda question: -len(question.token_ids),
        )
        while open_:
            batch = open_[: self.batch_size]
            texts = self._try(batch)
            if texts is None:
                self._shrink(batch)
                if len(batch) > 1:
                    continue
                texts = [""]
            for question, text in zip(batch, texts, strict=True):
                replies[question.place] = read_reply(text) if mode == "extractive" else text
            open_ = open_[len(batch) :]
        return replies

    def _ask(self, place: int, mode: Mode, sentences: Sequence[str], wrong: str | None) -> Question:
        plain = [self._without_special(sentence) for sentence in sentences]
        messages = build_messages(
            read_prompts().of(mode), plain, None if wrong is None else self._without_special(wrong)
        )
        token_ids = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        return Question(place, list(token_ids), count_answer_tokens(sentences, mode))

    def _without_special(self, text: str) -> str:
        # A report that holds "<end_of_turn>" must not end its turn.
        for token in self._special:
            text = text.replace(token, " ")
        return text

    def _try(self, batch: Sequence[Question]) -> list[str] | None:
        """Generate for a batch; None where memory does not suffice."""
        return try_in_memory(lambda: self._generate(batch))

    def _shrink(self, batch: Sequence[Question]) -> None:
        """Take less at once; give up where even one of our own examples is too much."""
        if len(batch) > 1:
            self.batch_size = len(batch) // 2
            logger.warning(
                "too little memory for %d reports at once: going on with %d",
                len(batch),
                self.batch_size,
            )
            return
        example, _ = read_prompts().extractive.examples[0]
        if self._try([self._ask(0, "extractive", example, None)]) is None:
            raise BackendError(
                "the model has too little memory for a single report",
                mend="use a smaller model or a larger device, or `--backend openai` with a server",
                where=self.model,
            )
        logger.warning("too little memory for a report of %d tokens", len(batch[0].token_ids))

    def _generate(self, batch: Sequence[Question]) -> list[str]:
        import torch
        from transformers import GenerationConfig

        token_ids, attention_mask = _pad_left(batch, self._pad_id())
        told = self._model.generation_config
        build: Any = GenerationConfig
        config = build(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max(question.limit for question in batch),
            eos_token_id=told.eos_token_id or self._tokenizer.eos_token_id,
            bos_token_id=told.bos_token_id,
            pad_token_id=self._pad_id(),
        )
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=token_ids.to(self._model.device),
                attention_mask=attention_mask.to(self._model.device),
                generation_config=config,
            )
        # Each within its own limit, so that no answer depends on those beside it.
        answers = [
            row[: question.limit]
            for row, question in zip(written[:, token_ids.shape[1] :], batch, strict=True)
        ]
        texts: list[str] = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return texts

    def _pad_id(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(self._tokenizer.eos_token_id if pad is None else pad)


def _pad_left(batch: Sequence[Question], pad_id: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Bring prompts to one length in front, so that all answers begin at one place."""
    import torch

    longest = max(len(question.token_ids) for question in batch)
    token_ids = torch.full((len(batch), longest), pad_id)
    attention_mask = torch.zeros((len(batch), longest), dtype=torch.long)
    for row, question in enumerate(batch):
        token_ids[row, longest - len(question.token_ids) :] = torch.tensor(question.token_ids)
        attention_mask[row, longest - len(question.token_ids) :] = 1
    return token_ids, attention_mask


def _load(found: FoundModel) -> tuple[Any, Any]:
    """Load tokenizer and weights onto the best device, in bfloat16 on a GPU."""
    import torch
    from transformers import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
    )

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    device, dtype = choose_device()
    try:
        config = AutoConfig.from_pretrained(found.folder, **options)
        # MedGemma also takes pictures; its text-only relatives do not.
        sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(found.folder, **options)
        model: Any = kind.from_pretrained(
            found.folder, dtype=dtype, use_safetensors=True, **options
        )
        model = model.to(device).eval()
        # What a model says of sampling would be warned about at each greedy answer.
        for name in ("do_sample", "temperature", "top_k", "top_p", "min_p"):
            setattr(model.generation_config, name, None)
    except torch.OutOfMemoryError as error:
        raise BackendError(
            "the model does not fit the memory of the device",
            mend="use a smaller model or a larger device, or `--backend openai` with a server",
            where=found.label,
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackendError(
            f"the language model cannot be loaded: {(str(error).splitlines() or [''])[0]}",
            mend="give a folder with config.json, tokenizer and safetensors of a model that "
            "transformers knows; code that comes with a model is not run. A model from the hub "
            "may be half downloaded: `hf download` it again",
            where=found.label,
        ) from error
    if not getattr(tokenizer, "chat_template", None):
        raise BackendError(
            "the language model has no chat template",
            mend="take one that is tuned for instructions; their names often end in -it or "
            "-instruct",
            where=found.label,
        )
    return tokenizer, model
