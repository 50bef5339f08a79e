"""Writes the inputs of the target `nnia` with the real packer: `pip install nninteractive-client==2.6.0 && python fuzz/nnia_seeds.py`.

They were made with blosc2 4.14.1. The unit tests of `server/src/nninteractive/container.rs` read them, and compute the same values.
"""

from pathlib import Path

import blosc2
import numpy as np
from nnInteractive.inference.remote.serialization import pack_array

SEEDS = Path(__file__).parent / "corpus/nnia"
NONE, SHUFFLE = [blosc2.Filter.NOFILTER], [blosc2.Filter.SHUFFLE]


def image(shape, dtype, offset=0):
    """Voxel [0, k, j, i] is 40 k + 3 j - 2 i + offset."""
    _, k, j, i = np.indices(shape)
    return (40 * k + 3 * j - 2 * i + offset).astype(dtype)


def noise(shape, dtype):
    """The low bits of a linear congruential generator, which no codec compresses."""
    state, values = 1, []
    for _ in range(int(np.prod(shape))):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state)
    return np.array(values, np.uint32).astype(dtype).reshape(shape)


def lasso():
    """A filled box [0, 5..20, 7..30] with a hole [0, 8..10, 9..11]."""
    mask = np.zeros((1, 30, 40), np.uint8)
    mask[0, 5:20, 7:30] = 1
    mask[0, 8:10, 9:11] = 0
    return mask


def write(name, array, **how):
    (SEEDS / name).write_bytes(pack_array(array, **how))


write("image_int16", image((1, 5, 20, 30), np.int16, -500))
write("image_int16_shuffled", image((1, 10, 60, 70), np.int16, -500), filters=SHUFFLE)
write("image_int16_lz4", image((1, 5, 20, 30), np.int16, -500), filters=SHUFFLE, codec=blosc2.Codec.LZ4)
write("image_uint16", image((1, 2, 9, 7), np.uint16, 1000), filters=NONE)
write("image_int8", image((1, 2, 9, 7), np.int8, 0))
write("image_uint8", image((1, 2, 9, 7), np.uint8, 30))
write("image_int32", image((1, 4, 10, 10), np.int32, -70000), filters=SHUFFLE)
write("image_uint32_noise", noise((1, 2, 9, 7), np.uint32))
write("image_int64", image((1, 2, 9, 7), np.int64, -500))
write("image_uint64", image((1, 2, 9, 7), np.uint64, 500))
write("image_float16", image((1, 2, 9, 7), np.float16, -500))
write("image_float32", image((1, 4, 20, 20), np.float32, -500))
write("image_float64", image((1, 4, 10, 10), np.float64, -500))
write("zeros_float64", np.zeros((1, 3, 50, 70)))
write("sevens_int16", np.full((1, 30, 100, 100), 7, np.int16))
write("ones_uint8", np.ones((1, 20, 20), np.uint8), filters=NONE)
write("voxel_uint8", np.ones((1, 1, 1), np.uint8), filters=NONE)
write("lasso_uint8", lasso(), filters=NONE)
write("lasso_bool", lasso().astype(bool), filters=NONE)
