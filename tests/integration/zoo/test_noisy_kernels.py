"""The kernels of training under noise: the same bits, fused or not, and their gradients."""

import pytest
import torch

from integration.zoo.noisy_kernels import _bell, spread, straight_through
from sim import noise as deviates
from sim.kernels import compiler_stands


@pytest.mark.whole
@pytest.mark.skipif(not compiler_stands(), reason="no C++ compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 9), (2, 16, 5, 7), (16, 5, 7)])
def test_fused_and_plain_spreading_are_the_same_bits(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    columns = -1 if len(shape) == 2 else -3
    y = torch.randn(shape, generator=generator).to(dtype)
    variance = torch.rand(shape, generator=generator).mul(0.1).to(dtype)
    variance.view(-1)[::5] = 0
    if len(shape) == 4:
        y, variance = (part.contiguous(memory_format=torch.channels_last) for part in (y, variance))
    keys = (
        deviates.row_keys(3, torch.tensor([7]), y.numel() // y.shape[columns]),
        deviates.column_keys(y.shape[columns]),
    )
    towards = torch.randn(shape, generator=generator).to(dtype)
    seen = {}
    for fused in (False, True):
        own, of = y.clone().requires_grad_(), variance.clone().requires_grad_()
        result = spread(own, of, keys, columns=columns, fused=fused)
        (result * towards).sum().backward()
        assert own.grad is not None and of.grad is not None and torch.equal(own.grad, towards)
        assert result.dtype == dtype and not torch.equal(result, y)
        seen[fused] = result.detach(), of.grad
    assert all(torch.equal(a, b) for a, b in zip(seen[False], seen[True], strict=True))


def test_deviates_are_centred_and_of_unit_variance() -> None:
    rows, columns = deviates.row_keys(0, torch.tensor([5], dtype=torch.int32), 40_000), deviates.column_keys(50)
    normal = _bell(torch.Size((40_000, 50)), rows, columns).double()
    # 2 million draws: standard errors of 0.0007 (mean), 0.0007 * sqrt(0.85) (variance), 0.0035 (fourth moment, below)
    assert abs(float(normal.mean())) < 5 * 0.0007 and abs(float(normal.square().mean()) - 1) < 5 * 0.0007
    assert float(normal.pow(4).mean()) == pytest.approx(2.7, abs=0.02) and float(normal.abs().max()) < 3.46


@pytest.mark.whole
@pytest.mark.skipif(not compiler_stands(), reason="no C++ compiler")
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_and_plain_rounding_are_the_same_bits_and_torchs(dtype: torch.dtype, squared: bool) -> None:
    """Values on, beside and beyond every edge between codes, and random ones; forward and gradient."""
    step = torch.tensor(0.0213)
    edges = (torch.arange(-130, 131) + 0.5) * step
    random = torch.randn(4, 16, 9, 9, generator=torch.Generator().manual_seed(0)).flatten()
    around = [edges, edges.nextafter(torch.tensor(9.0)), edges.nextafter(torch.tensor(-9.0))]
    values = torch.cat([*around, torch.tensor([0.0, -0.0, 1e9, -1e9]), random])
    x, seen = values.to(dtype), {}
    towards = torch.randn((2, *x.shape), generator=torch.Generator().manual_seed(1)).to(dtype)
    for fused in (False, True):
        inside = x.clone().requires_grad_()
        parts = straight_through(inside, step, -127, 127, squared=squared, fused=fused)
        torch.autograd.backward([(part * own).sum() for part, own in zip(parts, towards, strict=False)])
        assert inside.grad is not None and all(part.dtype == dtype for part in parts)
        seen[fused] = [*(part.detach() for part in parts), inside.grad]
    assert all(torch.equal(a, b) for a, b in zip(seen[False], seen[True], strict=True))
    reference = x.float().requires_grad_()
    zero = torch.zeros((), dtype=torch.int32)
    theirs = torch.fake_quantize_per_tensor_affine(reference, step, zero, -127, 127)
    own, *squares, gradient = seen[True]
    assert torch.equal(own, theirs.detach().to(dtype))
    through = towards[0].float()
    if squared:
        assert torch.equal(squares[0], theirs.detach().square().to(dtype))
        through = (through + towards[1].float() * (2 * theirs.detach())).to(dtype).float()
    (theirs * through).sum().backward()
    assert reference.grad is not None and (reference.grad == 0).sum() > 8
    assert torch.equal(gradient, reference.grad.to(dtype))
