"""What all prompts begin with is computed once, and no answer is another for it."""

from pathlib import Path

import pytest
import torch

from ctprep.reports.backends import shared_prefix
from ctprep.reports.backends.backend import in_order
from ctprep.reports.backends.local_model import TransformersBackend
from ctprep.reports.backends.shared_prefix import Prefix, _shift, count_shared, pad_left
from tests.ctprep.reports.tiny_gemma import write_tiny_gemma, write_tiny_llama

REPORTS = [["A nodule is seen"] * 5, ["Cyst"], ["No effusion", "A 4 mm nodule"], ["a"] * 60]


@pytest.fixture(params=["gemma-sees", "gemma-reads", "llama"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> TransformersBackend:
    """Models with and without windows and a picture tower."""
    if request.param == "llama":
        folder = write_tiny_llama(tmp_path / "m")
    else:
        folder = write_tiny_gemma(tmp_path / "m", sees=request.param == "gemma-sees")
    return TransformersBackend(str(folder), batch_size=3)


def _answer(backend: TransformersBackend) -> list[str]:
    return in_order(backend.chat("generative", REPORTS), len(REPORTS))


def test_no_answer_is_another(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of prompts of other lengths; most of each prompt is not computed again."""
    cached: list[int] = []
    expand = Prefix.expand

    def watch(self: Prefix, rows: list[list[int]]) -> object:
        cache = expand(self, rows)
        assert cache is not None
        cached.append(cache.get_seq_length() / max(map(len, rows)))
        return cache

    monkeypatch.setattr(Prefix, "expand", watch)
    reused = _answer(backend)
    assert len(cached) == 3
    assert min(cached) > 0.5

    backend._prefixes["generative"] = None
    assert _answer(backend) == reused
    assert len(set(reused)) == len(reused)
    assert len(cached) == 3


@pytest.mark.parametrize("wrong", ["nothing", "one token off"])
def test_a_model_that_goes_on_wrongly_is_asked_the_plain_way(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """It is found out before the first report."""

    def shift(part: torch.Tensor, length: int, gaps: list[int]) -> torch.Tensor:
        right = _shift(part, length, gaps)
        return torch.zeros_like(right) if wrong == "nothing" else right.roll(1, 2)

    monkeypatch.setattr(shared_prefix, "_shift", shift)

    assert len(_answer(backend)) == len(REPORTS)
    assert backend._prefixes == {"generative": None}


@pytest.mark.parametrize("trouble", ["layers", "memory"])
def test_models_that_allow_no_prefix(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Attention of another kind, or too little memory for it."""

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError

    right = _answer(backend)
    backend._prefixes.clear()
    if trouble == "layers":
        text = backend._model.config.get_text_config()
        kinds = getattr(text, "layer_types", None) or ["full_attention"] * 2
        monkeypatch.setattr(text, "layer_types", kinds, raising=False)
        monkeypatch.setattr(shared_prefix, "_KNOWN_LAYERS", frozenset())
    else:
        monkeypatch.setattr(shared_prefix, "_run_prefix", fail)

    assert _answer(backend) == right
    assert backend._prefixes == {"generative": None}


def test_a_shorter_row_is_moved_behind_its_padding() -> None:
    """By hand: three rows of five, six and nine tokens less than the longest."""
    part = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)

    assert _shift(part, 3, [0, 1, 4])[:, 0, :, 0].tolist() == [[1, 2, 3], [0, 1, 2], [0, 0, 0]]


def test_what_two_prompts_begin_with() -> None:
    """By hand."""
    assert count_shared([1, 2, 3], [1, 2, 4, 5]) == 2
    assert count_shared([1], [1, 2]) == 1
    assert count_shared([], [1]) == 0


def test_padding_stands_in_front() -> None:
    """By hand: two prompts, the shorter one moved to the end and its padding masked."""
    token_ids, mask = pad_left([[5, 6], [7]], 0)

    assert token_ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]


def test_no_row_is_cached_beyond_what_it_shares() -> None:
    """By hand: a tokenizer may join what follows with the end of the prefix."""
    part = torch.zeros(1, 1, 40, 1)
    prefix = Prefix(list(range(40)), [(part, part)])

    def cached(*rows: list[int]) -> int | None:
        cache = prefix.expand(rows)
        return None if cache is None else cache.get_seq_length()

    assert cached([*range(40), 7]) == 40
    assert cached([*range(40), 7], [*range(36), 99, 98, 97]) == 38
    assert cached([*range(40)]) == 39
    assert cached([*range(40), 7], [*range(20)] + [99] * 21) is None
