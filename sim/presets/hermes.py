"""HERMES: IBM's 64-core PCM chip (JSSC 2022; arXiv 2212.02872), one core.

item                        value                       source
inputs                      sign + 7 bit, PWM, 4-phase  JSSC 2022
array                       256 x 256, 2 + 2 PCM a cell JSSC 2022
device                      hermes_pair                 aihwkit's fit of the chip (MIT)
converter gain              sigma 7.09 %, within 21 %   JSSC 2022, after trimming
converter full scale        420 counts, saturating      "> 420 levels in 128 ns", JSSC 2022; the clip assumed
converter offset            sigma 1 count               assumed: trimmed away, no residual given
conductance scaling         one factor a tile column    assumed
one floor a count, 4-phase  floor(x+g+ + x-g-)          assumed
age                         right after programming     assumed
"""

from __future__ import annotations

from sim.tile import Tile

HERMES = Tile(name="hermes")
"""Every stage of the default tile is HERMES's."""
