"""HCiM's digital scale-factor array, bit for bit: `config` its geometry, `model` its integers, `bits` its columns.

    PS_i = sum over input bits j of p_ij * s_ij,  p in {-1, 0, +1} from comparators, s with 2^j folded in

`combine` adds weight slices and row tiles and hands the totals to the NMPU; `image` is what the memory is loaded with.
Formulation and architecture: the HCiM paper (arXiv 2403.13577); corners that it leaves open: ours, as
docs/units/scale_array.md says one by one.
"""
