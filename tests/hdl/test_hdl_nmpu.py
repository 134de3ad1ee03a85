"""The unit in Amaranth's simulator against the golden model: streams, parameters, flags, reset."""

import pytest

from golden_model.fixed import INT8, SQ, UQ, Format, Rounding
from golden_model.nmpu_config import Input, NmpuConfig

CONFIGS = {
    "default lane": NmpuConfig(units=2, columns=2),
    "one column": NmpuConfig(units=1, columns=1),
    "three by five": NmpuConfig(units=3, columns=5, int8=True, input_bits=8),
    "counts alone": NmpuConfig(units=2, columns=2, partial_sum=False, residual=False, relu=False),
    "code": NmpuConfig(units=2, columns=2, input=Input.CODE, partial_sum=False, residual=False, cut_pre=3, cut_post=1),
    "every stage": NmpuConfig(units=2, columns=3, batch_norm=True, max_column_shift=7, max_layer_shift=3),
    "every stage, code": NmpuConfig(units=2, columns=2, input=Input.CODE, batch_norm=True, int8=True, cut_pre=2),
    "batch norm, no sums": NmpuConfig(units=2, columns=2, batch_norm=True, partial_sum=False, residual=False),
    "residual, no sums": NmpuConfig(units=2, columns=2, partial_sum=False, relu=False, rounding=Rounding.HALF_EVEN),
    "deep shifts": NmpuConfig(units=2, columns=2, max_layer_shift=24, max_column_shift=7, rounding=Rounding.HALF_AWAY),
    "coarse": NmpuConfig(
        units=2, columns=2, scale=UQ(1, 3), offset=SQ(5, 4), guard=4, max_residual_shift=0, rounding=Rounding.FLOOR,
        output=Format(False, 4, 0), residual_input=Format(False, 4, 0), input_bits=5,
    ),
    "int8 batch norm": NmpuConfig(
        units=2, columns=2, int8=True, batch_norm=True, bn_scale=UQ(2, 3), bn_offset=SQ(4, 6), max_bn_shift=0,
        output=INT8, max_tiles=1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_unit_is_the_golden_model(bench, config):
    it = bench(config, seed=1)

    async def process(ctx):
        for _ in range(6):
            await it.load(ctx)
            layer = it.random_layer()
            await it.set_layer(ctx, layer)
            assert ctx.get(it.dut.flags) == 0
            await it.stream(ctx, layer, vectors=6, stall=0.3)

    it.run(process)
