"""One lane by itself, what synthesis measures, against the golden model: random stalls, exact."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig
from hdl.nmpu import Lane

CONFIGS = {
    "code": NmpuConfig(input=Input.CODE, partial_sum=False, residual=False),
    "counts": NmpuConfig(partial_sum=False, residual=False),
}


@pytest.mark.parametrize("negate", [0, 1])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_lane_is_the_unit_without_store(draw, config, negate):
    lane, rng, count = Lane(config), np.random.default_rng(5), 200
    values = {
        name: int(draw(rng, of)) for name, of in Columns.ranges(config).items() if hasattr(lane, name) and of.hi > 1
    } | {"negate": negate}
    data = {name: draw(rng, config.input_range, count) for name in ("first", "second") if hasattr(lane, name)}
    expected = nmpu(config, Columns(**values), Layer(relu_after=True), data["first"], data.get("second"))
    found, saturated = [], []

    async def process(ctx):
        for name, value in (values | {"relu_after": 1}).items():
            ctx.set(getattr(lane, name), value)
        sent = 0
        while len(found) < count:
            enable = int(rng.random() < 0.7)
            ctx.set(lane.enable, enable)
            for name, words in data.items():
                ctx.set(getattr(lane, name), int(words[min(sent, count - 1)]))
            if enable and sent >= lane.latency - 1:
                saturated.append(ctx.get(lane.saturated))
            await ctx.tick()
            sent += enable
            if enable and sent >= lane.latency:
                found.append(ctx.get(lane.code))

    simulator = Simulator(lane)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()
    assert found == expected.values.tolist()
    assert saturated[:count] == np.broadcast_to(expected.saturated, count).tolist()
