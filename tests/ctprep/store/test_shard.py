"""A shard's index leads to its chunks, or to an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.store.errors import StoreError
from ctprep.store.shard import join_chunks, split_chunks


@given(
    st.lists(st.none() | st.binary(min_size=1, max_size=9), min_size=1, max_size=9),
    st.integers(0, 250),
)
def test_chunks_come_back(chunks: list[bytes | None], room: int) -> None:
    """Any chunks, absent ones too, whatever they were thought to need."""
    found = split_chunks(join_chunks(iter(chunks), room=room), len(chunks))

    assert [None if chunk is None else bytes(chunk) for chunk in found] == chunks


def test_every_bit_of_the_index_counts() -> None:
    """A flipped byte anywhere in the index or its checksum is told."""
    shard = join_chunks([b"abc", None])

    for position in range(3, len(shard)):
        damaged = bytearray(shard)
        damaged[position] ^= 4
        with pytest.raises(StoreError, match="checksum"):
            split_chunks(bytes(damaged), 2)


def test_a_cut_shard_is_told() -> None:
    """Shorter than its index, or with fewer bytes than the index tells of."""
    shard = join_chunks([b"abcdefgh"])

    with pytest.raises(StoreError, match="cut off"):
        split_chunks(shard[:10], 1)
    with pytest.raises(StoreError, match="outside"):
        split_chunks(shard[4:], 1)
