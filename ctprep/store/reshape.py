"""The zarr codec `reshape`: the same elements, in the same order, under another shape."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from zarr.abc.codec import ArrayArrayCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import NDBuffer

from ctprep.store.errors import StoreError

MEND = "correct `shape` in the array's `codecs`, or write the array again"

Size = int | tuple[int, ...]
"""A size, -1 for the size that is left over, or the input dimensions whose product it is."""


def resolve_shape(target: tuple[Size, ...], source: tuple[int, ...]) -> tuple[int, ...]:
    """Work out the shape that a reshape leads to.

    Args:
        target: the codec's configuration, an entry an output dimension.
        source: shape of the chunk before.

    Raises:
        StoreError: the sizes do not multiply to those of `source`, or named input dimensions do
            not lie where the output dimension does.

    Source:
        zarr-extensions, codecs/reshape, "Configuration parameters".
    """
    sizes = [_size(entry, source) for entry in target]
    known = prod(size for size in sizes if size != -1)
    if -1 in sizes and prod(source) % known == 0:
        sizes[sizes.index(-1)] = prod(source) // known
    if prod(sizes) != prod(source):
        raise StoreError(f"a chunk of shape {source} cannot be reshaped to {target}", mend=MEND)
    for position, entry in enumerate(target):
        if isinstance(entry, tuple) and entry:
            before = prod(sizes[:position]) == prod(source[: entry[0]])
            behind = prod(sizes[position + 1 :]) == prod(source[entry[-1] + 1 :])
            if not (before and behind):
                raise StoreError(
                    f"reshaping {source} to {target} would move dimensions {entry}", mend=MEND
                )
    return tuple(sizes)


def _size(entry: Size, source: tuple[int, ...]) -> int:
    if isinstance(entry, int):
        return entry
    if any(dimension >= len(source) for dimension in entry):
        raise StoreError(f"a chunk of shape {source} has no dimensions {entry}", mend=MEND)
    return prod(source[dimension] for dimension in entry)


def parse_shape(value: object) -> tuple[Size, ...]:
    """Check the `shape` of a configuration, as far as that goes without an array.

    Raises:
        StoreError: an entry is no size, -1 is there twice, or input dimensions do not increase.
    """
    if not isinstance(value, list | tuple):
        raise StoreError(f"reshape to {value!r}, which is no list", mend=MEND)
    target = tuple(tuple(entry) if isinstance(entry, list) else entry for entry in value)
    named = [dimension for entry in target if isinstance(entry, tuple) for dimension in entry]
    sizes = [entry for entry in target if not isinstance(entry, tuple)]
    if not all(type(number) is int for number in (*named, *sizes)):
        raise StoreError(f"reshape to {value!r}, which holds more than integers", mend=MEND)
    if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
        raise StoreError(f"reshape to {value!r}: sizes are 1 or more, one may be -1", mend=MEND)
    if any(number < 0 for number in named) or named != sorted(set(named)):
        raise StoreError(f"reshape to {value!r}: input dimensions must increase", mend=MEND)
    return target


@dataclass(frozen=True)
class ReshapeCodec(ArrayArrayCodec):
    """Give a chunk another shape without moving its elements.

    Source:
        zarr-extensions, codecs/reshape (draft).
    """

    is_fixed_size = True

    shape: tuple[Size, ...]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ReshapeCodec":
        """Read the codec from an array's metadata.

        Raises:
            StoreError: the configuration is not one of `reshape`.
        """
        configuration = data.get("configuration")
        if not isinstance(configuration, dict) or set(configuration) != {"shape"}:
            raise StoreError(f"codec `reshape` is configured as {configuration!r}", mend=MEND)
        return cls(parse_shape(configuration["shape"]))

    def to_dict(self) -> dict[str, Any]:
        """Give the codec as array metadata holds it."""
        shape = [list(entry) if isinstance(entry, tuple) else entry for entry in self.shape]
        return {"name": "reshape", "configuration": {"shape": shape}}

    def resolve_metadata(self, chunk_spec: ArraySpec) -> ArraySpec:
        """Tell the next codec which shape it gets."""
        return replace(chunk_spec, shape=resolve_shape(self.shape, chunk_spec.shape))

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return chunk_data.reshape(resolve_shape(self.shape, chunk_spec.shape))

    def _decode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return chunk_data.reshape(chunk_spec.shape)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return self._encode_sync(chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return self._decode_sync(chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Reshaping keeps the number of bytes."""
        return input_byte_length
