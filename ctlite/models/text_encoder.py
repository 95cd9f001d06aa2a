"""The text tower: any Hugging Face encoder, or a small BERT made from the reports themselves."""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int64
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import decoders, models, normalizers, processors
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    PreTrainedConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ctprep.store.errors import CheckpointError, RecipeError

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_TOKENS = [PAD, UNKNOWN, CLS, SEP, MASK]


@dataclass(frozen=True)
class TextTower:
    """An encoder and the tokenizer that goes with it."""

    encoder: nn.Module
    tokenizer: Any


def load_text_tower(name_or_folder: str, *, local_files_only: bool = False) -> TextTower:
    """Load a pretrained encoder without its pooler, never running code that came with it.

    Args:
        name_or_folder: name on the Hugging Face hub, or a local folder.
        local_files_only: whether a name must be in the local cache already.

    Returns:
        The encoder in evaluation mode, and its tokenizer.

    Raises:
        CheckpointError: it is not there, or is no encoder that transformers knows.
    """
    options: dict[str, Any] = {"local_files_only": local_files_only, "trust_remote_code": False}
    try:
        values, _ = PreTrainedConfig.get_config_dict(
            name_or_folder, local_files_only=local_files_only
        )
        if _is_bert(values):
            # CXR-BERT brings classes of its own, which are not needed: its encoder is a BERT.
            del options["trust_remote_code"]
            encoder: nn.Module = BertModel.from_pretrained(
                name_or_folder, add_pooling_layer=False, **options
            )
            tokenizer = BertTokenizer.from_pretrained(name_or_folder, **options)
        else:
            encoder = AutoModel.from_pretrained(name_or_folder, **options)
            tokenizer = AutoTokenizer.from_pretrained(name_or_folder, **options)
        check_vocabulary(tokenizer)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(
            f"the text encoder {name_or_folder!r} cannot be loaded: {str(error).splitlines()[0]}",
            mend="give the folder of a downloaded encoder, or a hub name and a network",
        ) from error
    return TextTower(encoder.eval(), tokenizer)


def check_vocabulary(tokenizer: Any) -> None:  # noqa: ANN401 - of any class
    """Refuse a tokenizer without words, as transformers makes of a folder without a vocabulary.

    Args:
        tokenizer: as it was loaded.

    Raises:
        ValueError: it knows nothing but special tokens.
    """
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise ValueError("its tokenizer knows no word: vocab.txt or tokenizer.json is missing")


def _is_bert(values: dict[str, Any]) -> bool:
    kind = values.get("model_type", "")
    return kind == "bert" or (kind not in CONFIG_MAPPING and kind.endswith("bert"))


def save_text_tower(folder: Path, tower: TextTower) -> None:
    """Write an encoder's configuration and tokenizer, without its weights.

    Args:
        folder: made where missing.
        tower: whose weights are saved elsewhere.

    Raises:
        OSError: the disk is full or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: Any = tower.encoder.config
    config.save_pretrained(folder)
    try:
        tower.tokenizer.save_pretrained(folder)
    except Exception as error:
        # The tokenizers library has no class for what the system says; its number is in the words.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error)) from error


def restore_text_tower(folder: Path) -> TextTower:
    """Build an encoder with random weights from what `save_text_tower` wrote.

    Args:
        folder: as `save_text_tower` left it.

    Returns:
        The encoder in evaluation mode, and its tokenizer.

    Raises:
        CheckpointError: the folder does not describe an encoder.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if isinstance(config, BertConfig):
            encoder: nn.Module = BertModel(config, add_pooling_layer=False)
            tokenizer: Any = BertTokenizer.from_pretrained(folder, local_files_only=True)
        else:
            build: Any = AutoModel.from_config
            encoder = build(config, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        check_vocabulary(tokenizer)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(
            f"the saved text encoder cannot be read: {str(error).splitlines()[0]}",
            mend="save the model again",
            where=str(folder),
        ) from error
    return TextTower(encoder.eval(), tokenizer)


def build_small_bert(
    reports: Iterable[str],
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 2,
    vocabulary_size: int = 1024,
    max_length: int = 512,
    dropout: float = 0.0,
) -> TextTower:
    """Make a small BERT with random weights, and a vocabulary learned from reports.

    Args:
        reports: texts that the vocabulary is learned from; order is of no account.
        width: features of a token.
        layers: number of transformer layers.
        heads: attention heads; they divide `width`.
        vocabulary_size: word pieces, of which letters come first and then the most frequent
            words; what is no such word is spelled by the letter.
        max_length: most tokens of a text.
        dropout: probability, in attention and hidden layers.

    Returns:
        The encoder, whose weights follow torch's generator, and its lower-casing tokenizer,
        which depends on the reports alone.

    Raises:
        RecipeError: there is no text to learn from, or the sizes do not fit.
    """
    texts = sorted({text for text in reports if text.strip()})
    if not texts or width % heads:
        raise RecipeError(
            f"no small BERT of width {width} with {heads} heads can be made from "
            f"{len(texts)} reports",
            mend="give reports with text, and a width that the heads divide",
        )
    tokenizer = _train_tokenizer(texts, vocabulary_size, max_length)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=max_length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=tokenizer.pad_token_id,
        # At BERT's own 0.02, a narrow encoder gives every text nearly the same vector.
        initializer_range=0.02 * math.sqrt(768 / width),
    )
    return TextTower(BertModel(config, add_pooling_layer=False), tokenizer)


def _train_tokenizer(texts: list[str], vocabulary_size: int, max_length: int) -> BertTokenizer:
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        normal = normalizer.normalize_str(text)
        words.update(word for word, _ in splitter.pre_tokenize_str(normal))
    vocabulary = _choose_pieces(words, vocabulary_size)
    raw = RawTokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    raw.normalizer = normalizer
    raw.pre_tokenizer = splitter
    raw.decoder = decoders.WordPiece()
    raw.post_processor = processors.BertProcessing((SEP, vocabulary[SEP]), (CLS, vocabulary[CLS]))
    return BertTokenizer(
        tokenizer_object=raw,
        do_lower_case=True,
        model_max_length=max_length,
        unk_token=UNKNOWN,
        sep_token=SEP,
        pad_token=PAD,
        cls_token=CLS,
        mask_token=MASK,
    )


def _choose_pieces(words: Counter[str], size: int) -> dict[str, int]:
    # The trainer of the tokenizers library breaks ties by the order of a hash map, which differs
    # from run to run. Frequent words whole and the rest by the letter needs no ties broken.
    letters = sorted({letter for word in words for letter in word} | set(string.printable.lower()))
    letters = [letter for letter in letters if not letter.isspace()]
    frequent = sorted(words, key=lambda word: (-words[word], word))
    pieces = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    room = max(0, size - len(pieces))
    pieces += [word for word in frequent if len(word) > 1][:room]
    return {piece: number for number, piece in enumerate(pieces)}


def text_width(encoder: nn.Module) -> int:
    """Tell the features of an encoder's tokens.

    Args:
        encoder: a Hugging Face encoder.

    Returns:
        Length of its CLS vector.
    """
    config: Any = encoder.config
    return int(config.hidden_size)


def encode_cls(
    encoder: nn.Module,
    token_ids: Int64[Tensor, "batch length"],
    attention_mask: Int64[Tensor, "batch length"],
) -> Float[Tensor, "batch feature"]:
    """Encode texts to the last hidden state at their first token, CLS.

    Args:
        encoder: a Hugging Face encoder.
        token_ids: padded.
        attention_mask: 1 at tokens, 0 at padding.

    Returns:
        One vector a text.

    Source:
        CT-CLIP, which leaves BERT's pooler out.
    """
    hidden: Tensor = encoder(input_ids=token_ids, attention_mask=attention_mask).last_hidden_state
    return hidden[:, 0]
