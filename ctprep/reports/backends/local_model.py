"""The transformers backend: a chat model of this machine answers, in batches, greedily."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ctprep.reports.backends.backend import in_order
from ctprep.reports.backends.chat_template import ChatTemplate
from ctprep.reports.backends.prompt import (
    THINKING_TOKENS,
    Mode,
    build_messages,
    count_answer_tokens,
    drop_thoughts,
    read_prompts,
    read_reply,
)
from ctprep.reports.backends.shared_prefix import Prefix, compute_prefix, pad_left
from ctprep.reports.device import choose_device, try_in_memory
from ctprep.reports.model_folder import FoundModel, find_model, missing_extra
from ctprep.store.errors import BackendError, located

BATCH_SIZE = 8
# Longer chunks would sort better by length, and show progress less often.
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

    @property
    def length(self) -> int:
        """Tokens of the prompt and of the longest answer."""
        return len(self.token_ids) + self.limit


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
        self.prompt_hash = hashlib.sha256(
            f"{read_prompts().data_hash} greedy without thoughts".encode()
        ).hexdigest()
        self.chunk = batch_size * _BATCHES_A_CHUNK
        self.batch_size = batch_size
        self._room: int | None = None
        """Tokens at once, prompts and answers with padding, once memory has refused more."""
        self._tokenizer, self._model = _load(found)
        with located(found.label):
            self._template = ChatTemplate(self._tokenizer)
        self._prefixes: dict[Mode, Prefix | None] = {}

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Answer with the numbers of the sentences to keep."""
        return in_order(self.chat("extractive", reports), len(reports))

    def chat(
        self, mode: Mode, reports: Sequence[Sequence[str]], wrong: Sequence[str] | None = None
    ) -> Iterator[Mapping[int, str]]:
        """Ask about each report, the longest first; see `ChatBackend.chat`."""
        told = [None] * len(reports) if wrong is None else wrong
        questions = [
            self._ask(place, mode, sentences, before)
            for place, (sentences, before) in enumerate(zip(reports, told, strict=True))
        ]
        if mode not in self._prefixes:
            self._prefixes[mode] = self._share(mode)
        context = getattr(self._model.config.get_text_config(), "max_position_embeddings", _CONTEXT)
        fitting = [one for one in questions if one.length <= context]
        if len(fitting) < len(questions):
            # They are left without an answer.
            left = len(questions) - len(fitting)
            logger.warning("%d reports are longer than the %d tokens of the model", left, context)
        open_ = sorted(fitting, key=lambda question: -question.length)
        while open_:
            batch = self._take(open_)
            texts = self._try(batch, self._prefixes[mode])
            if texts is None:
                self._shrink(batch)
                if len(batch) > 1:
                    continue
                texts = [""]
            read = read_reply if mode == "extractive" else drop_thoughts
            yield {question.place: read(text) for question, text in zip(batch, texts, strict=True)}
            open_ = open_[len(batch) :]

    def _ask(self, place: int, mode: Mode, sentences: Sequence[str], wrong: str | None) -> Question:
        plain = [self._template.without_special(sentence) for sentence in sentences]
        before = None if wrong is None else self._template.without_special(wrong)
        messages = build_messages(read_prompts().of(mode), plain, before)
        limit = count_answer_tokens(sentences, mode)
        if self._template.opens_thought:
            limit += THINKING_TOKENS
        return Question(place, self._template.encode(messages), limit)

    def _share(self, mode: Mode) -> Prefix | None:
        """Compute what all prompts of a mode begin with."""
        first, second = (
            self._ask(0, mode, report, None).token_ids for report in (["A nodule"], ["Cyst", "No"])
        )
        return compute_prefix(self._model, first, second)

    def _try(self, batch: Sequence[Question], prefix: Prefix | None) -> list[str] | None:
        """Generate for a batch; None where memory does not suffice."""
        return try_in_memory(lambda: self._generate(batch, prefix))

    def _take(self, open_: Sequence[Question]) -> Sequence[Question]:
        """Take a batch from the longest on."""
        if self._room is None:
            return open_[: self.batch_size]
        return open_[: max(1, min(self.batch_size, self._room // open_[0].length))]

    def _shrink(self, batch: Sequence[Question]) -> None:
        """Take less at once; give up where even one of our own examples is too much."""
        if len(batch) > 1:
            fewer = len(batch) // 2
            # Of this length; of shorter ones as many as before may fit.
            self._room = fewer * batch[0].length
            logger.warning(
                "too little memory for %d reports at once: going on with %d of this length",
                len(batch),
                fewer,
            )
            return
        example, _ = read_prompts().extractive.examples[0]
        if self._try([self._ask(0, "extractive", example, None)], None) is None:
            raise BackendError(
                "the model has too little memory for a single report",
                mend="use a smaller model or a larger device, or `--backend openai` with a server",
                where=self.model,
            )
        logger.warning("too little memory for a report of %d tokens", len(batch[0].token_ids))

    def _generate(self, batch: Sequence[Question], prefix: Prefix | None) -> list[str]:
        import torch
        from transformers import GenerationConfig

        rows = [question.token_ids for question in batch]
        token_ids, attention_mask = pad_left(rows, self._pad_id())
        build: Any = GenerationConfig
        config = build(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max(question.limit for question in batch),
            eos_token_id=self._find_ends(),
            pad_token_id=self._pad_id(),
        )
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=token_ids.to(self._model.device),
                attention_mask=attention_mask.to(self._model.device),
                generation_config=config,
                past_key_values=None if prefix is None else prefix.expand(rows),
            )
        # Each within its own limit, so that no answer depends on those beside it.
        answers = [
            row[: question.limit]
            for row, question in zip(written[:, token_ids.shape[1] :], batch, strict=True)
        ]
        texts: list[str] = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return texts

    def _find_ends(self) -> list[int]:
        """Give the tokens that end an answer: those the model tells of, and that of its turns.

        Models that were trained on and saved again often tell of the end of a text alone.
        """
        told = self._model.generation_config.eos_token_id
        ends = told if isinstance(told, list) else [told]
        some = {*ends, self._tokenizer.eos_token_id, self._template.end_of_turn} - {None}
        return sorted(some)

    def _pad_id(self) -> int:
        known = (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id, 0)
        return next(int(token) for token in known if token is not None)


def _load(found: FoundModel) -> tuple[Any, Any]:
    """Load tokenizer and weights onto the best device, in bfloat16 on a GPU."""
    try:
        import jinja2  # noqa: F401
        import torch
        from transformers import (
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoTokenizer,
            GenerationConfig,
        )
    except ImportError as error:
        raise missing_extra("torch, transformers and jinja2") from error

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
        # Its other wishes, such as a penalty for repetition, bend a list of numbers.
        told, build = model.generation_config, cast(Any, GenerationConfig)
        model.generation_config = build(
            bos_token_id=told.bos_token_id, eos_token_id=told.eos_token_id
        )
    except torch.OutOfMemoryError as error:
        raise BackendError(
            "the model does not fit the memory of the device",
            mend="use a smaller model or a larger device, or `--backend openai` with a server",
            where=found.label,
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise BackendError(
            f"the language model cannot be loaded: {(str(error).splitlines() or [''])[0]}",
            mend="give a folder with config.json, tokenizer and safetensors of a model that "
            "transformers knows; code that comes with a model is not run. A model from the hub "
            "may be half downloaded: `hf download` it again; a quantized one may need a library of "
            "its own",
            where=found.label,
        ) from error
    return tokenizer, model
