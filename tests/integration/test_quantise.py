"""Parameters of the units: rounded as well as any neighbour could be, clips counted, signs right."""

import itertools

import numpy as np
import pytest
import torch
from small_networks import EveryOperation, MeanHead, seeded

from golden_model.errors import UserError
from golden_model.fixed import INT8, SQ, UQ, Format
from golden_model.nmpu_config import NmpuConfig
from integration.mapping.network import ConvertedNetwork, convert
from integration.mapping.quantise import EXHAUSTIVE, Clips, round_jointly
from sim.digital import FloatUnit, Fp16Unit, NmpuUnit


def problem(counts: int, columns: int, seed: int) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    samples = generator.integers(0, 421, (500, counts, columns)) * np.where(np.arange(counts) % 2, -1, 1)[:, None]
    means = samples.mean(0)
    covariances = np.einsum("sic,sjc->ijc", samples - means, samples - means) / 500
    exact = generator.uniform(0.2, 250, (counts, columns))
    return exact, generator.uniform(-50, 50, columns), means, covariances


@pytest.mark.parametrize("counts", [1, 2, 4])
def test_joint_rounding_is_the_best_of_all_neighbours(counts: int) -> None:
    exact, offset, means, covariances = problem(counts, 5, counts)
    unit_codes = np.full(5, 128.0)
    codes, offsets = round_jointly(exact, offset, means, covariances, unit_codes, UQ(1, 7), SQ(7, 1), Clips())
    for c in range(5):

        def cost(choice: tuple[float, ...], c: int = c) -> float:
            error = (np.array(choice) - exact[:, c]) / 128
            wanted = (offset[c] - error @ means[:, c]) * 2
            bias = (np.clip(np.floor(wanted + 0.5), -128, 127) - wanted) / 2
            return float(error @ covariances[:, :, c] @ error + bias**2)

        best = min(cost(choice) for choice in itertools.product(*((np.floor(e), np.ceil(e)) for e in exact[:, c])))
        assert cost(tuple(codes[:, c])) == pytest.approx(best)
        error = (codes[:, c] - exact[:, c]) / 128
        assert abs(offsets[c] / 2 - (offset[c] - error @ means[:, c])) <= 0.25 + 1e-9


def test_many_counts_beat_nearest_rounding() -> None:
    counts = EXHAUSTIVE + 2
    exact, offset, means, covariances = problem(counts, 20, 3)
    codes, _ = round_jointly(exact, offset, means, covariances, np.full(20, 128.0), UQ(1, 7), SQ(7, 1), Clips())

    def spread(chosen: np.ndarray) -> np.ndarray:
        error = chosen - exact
        return np.einsum("ic,jc,ijc->c", error, error, covariances)

    assert spread(codes).sum() < spread(np.floor(exact + 0.5)).sum()
    assert (np.abs(codes - exact) < 1).all()


def test_clips_are_counted_by_kind() -> None:
    clips = Clips()
    exact = np.array([[300.0, 0.2, 10.0, 0.0]])
    means, covariances = np.zeros((1, 4)), np.zeros((1, 1, 4))
    offset = np.array([0.0, 0.0, 80.0, 0.0])
    codes, offsets = round_jointly(exact, offset, means, covariances, np.full(4, 128.0), UQ(1, 7), SQ(7, 1), clips)
    assert (clips.scales, clips.zeros, clips.offsets) == (1, 1, 1)
    assert clips.worst == pytest.approx(80 - 63.5)
    assert codes[0].tolist()[0] == 255 and offsets.tolist()[2] == 127


def network(build: type = EveryOperation, **units: NmpuConfig) -> tuple[ConvertedNetwork, torch.Tensor]:
    images = torch.randn(48, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    chosen = [NmpuUnit(config=config, name=name) for name, config in units.items()]
    return convert(seeded(build), "hermes", images, units=(FloatUnit(), Fp16Unit(), *chosen)), images


def test_every_kind_of_nmpu_follows_the_float_unit() -> None:
    """Gammas of both signs, 1 to 3 tiles, residuals: each unit's logits correlate with the float unit's."""
    kinds = {
        "folded": NmpuConfig(),
        "shifts": NmpuConfig(max_column_shift=7, max_layer_shift=3, scale=UQ(1, 5)),
        "bn_after": NmpuConfig(batch_norm=True),
        "wide": NmpuConfig(scale=UQ(1, 11), offset=SQ(9, 4), guard=7),
        "int8": NmpuConfig(int8=True),
        "int8 bn_after": NmpuConfig(int8=True, batch_norm=True),
        "cuts": NmpuConfig(cut_pre=3, cut_post=1, scale=UQ(2, 7), offset=SQ(8, 1), residual_scale=UQ(2, 7)),
        "cuts bn_after": NmpuConfig(
            cut_post=2,
            batch_norm=True,
            scale=UQ(3, 7),
            offset=SQ(9, 1),
            bn_scale=UQ(3, 7),
            bn_offset=SQ(9, 1),
            residual_scale=UQ(3, 7),
        ),
    }
    least_correlations = dict.fromkeys(("folded", "shifts", "bn_after", "cuts", "cuts bn_after"), 0.97)
    least_correlations |= {"FP16": 0.99, "wide": 0.99, "int8": 0.9, "int8 bn_after": 0.5}
    for build in (EveryOperation, MeanHead):
        net, images = network(build, **kinds)
        reference = net.run(images, "float", compiled=False).flatten()
        for name, least in least_correlations.items():
            other = net.run(images, name, compiled=False).flatten()
            correlation = float(torch.corrcoef(torch.stack([reference, other]))[0, 1])
            assert correlation > least, (build.__name__, name, correlation)
            if least > 0.9:
                slope = float(other.norm() / reference.norm())
                assert slope == pytest.approx(1, abs=0.1), (build.__name__, name, slope)


def test_output_scales_make_every_offset_fit() -> None:
    net, _ = network(folded=NmpuConfig())
    assert net.clips("folded").offsets == 0 and net.clips("folded").scales == 0
    assert all(abs(layer.total_offset).max() <= 62 + 1e-9 for layer in net.calibrated.layers)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NmpuConfig(output=INT8), r"does not fit the encoder of hermes, which sends codes -127 \.\. 127"),
        (NmpuConfig(output=Format.parse("UINT4")), "does not fit the encoder"),
        (NmpuConfig(input_bits=8), "input counts of 8 bits does not fit the converters"),
        (NmpuConfig(max_tiles=2), "wide takes 3 row tiles and max_tiles is 2"),
        (NmpuConfig(partial_sum=False), "needs partial_sum = true"),
        (NmpuConfig(relu=False), "needs a unit with relu = true"),
    ],
)
def test_units_that_do_not_fit_are_refused(config: NmpuConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network(MeanHead, odd=config)


def test_a_unit_without_residual_adder_is_refused_by_layer() -> None:
    with pytest.raises(UserError, match="conv adds a residual; that needs residual = true"):
        network(EveryOperation, odd=NmpuConfig(residual=False))
