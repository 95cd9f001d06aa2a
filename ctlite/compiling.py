"""Compiling what takes nearly all of a step: the blocks of the image encoders."""

from torch import nn

from ctlite.models.tower import Block


def compile_blocks(module: nn.Module) -> None:
    """Have every block compiled when it first runs; names of weights stay as they are.

    All blocks of a tower have the same shapes, so that few graphs are made. The rest of the
    encoder, with its codebook, is small beside them.

    Args:
        module: a stage, or a model.
    """
    for part in module.modules():
        if isinstance(part, Block):
            part.compile()
