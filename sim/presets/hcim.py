"""HCiM: crossbars of SRAM bit cells, comparators for converters, a digital array of scale factors (arXiv 2403.13577).

item                        value                       source
inputs                      a bit at a time, unsigned   paper, section 2
weights                     sign-magnitude, differential, 1-bit slices   training code published with it
rows                        128 (A, wide), 64 (B)       paper, Table 1
read-out                    ternary, inclusive, one threshold a layer    paper, Eq. 1 and section 4
scale factors               4 bits, or 8 (wide)         paper, Table 1 and section 5
weights of the wide one     3 bits, as its inputs       paper, section 5 (ImageNet)
row tiles                   between kernel positions    ours
comparator offset           none                        the paper gives none; `readout.offset_sigma` is ours
first and last layer        float                       as in its training code (8 bits there)
"""

from __future__ import annotations

from golden_model.scale_array.config import HCIM_A as ARRAY_A
from golden_model.scale_array.config import HCIM_B as ARRAY_B
from golden_model.scale_array.config import HCIM_WIDE as ARRAY_WIDE
from sim.bit_slices import SlicedCrossbar, SlicedTile
from sim.encode import BitSerial

HCIM_A = SlicedTile(name="hcim_a", scales=ARRAY_A)
"""128 x 128 crossbars, 4-bit inputs, weights and scale factors."""
HCIM_B = SlicedTile(name="hcim_b", array=SlicedCrossbar(rows=64), scales=ARRAY_B)
"""64 x 64 crossbars."""
HCIM_WIDE = SlicedTile(
    name="hcim_wide", encode=BitSerial(bits=3), array=SlicedCrossbar(weight_bits=3), scales=ARRAY_WIDE
)
"""128 x 128 crossbars, 3-bit inputs and weights, 8-bit scale factors, 16-bit sums."""
