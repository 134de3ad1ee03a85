"""What torch.fx found means what the model computes; what cannot be mapped is refused by name."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from small_networks import EveryOperation, MeanHead, seeded
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.mapping.operations import Flatten, Graph, Layer, MaxPool, Pad, Slice, SumPool
from integration.mapping.trace import trace
from integration.zoo import networks


def float_run(graph: Graph, x: Tensor) -> Tensor:
    """Run the operations on real numbers, written from what each says it is."""
    values = [x.double()]
    for op in graph.operations:
        v = values[op.source]
        match op:
            case Layer():
                g = op.geometry
                y = F.conv2d(
                    v[:, :, None, None] if op.flat else v,
                    torch.from_numpy(op.weights),
                    None,
                    g.stride,
                    g.padding,
                    g.dilation,
                )
                y = y * torch.from_numpy(op.gamma)[:, None, None] + torch.from_numpy(op.beta)[:, None, None]
                y = y.flatten(1) if op.flat else y
                y = torch.relu(y) if op.relu_before else y
                y = y + values[op.residual] if op.residual is not None else y
                y = torch.relu(y) if op.relu_after else y
            case SumPool():
                y = op.sums(v) / op.count
                y = y.flatten(1) if op.squeeze else y
            case MaxPool() | Slice() | Pad() | Flatten():
                y = op.apply(v)
        values.append(y)
    return values[-1]


@pytest.mark.parametrize("build", [EveryOperation, MeanHead])
def test_the_graph_computes_what_the_model_computes(build: type[nn.Module]) -> None:
    model = seeded(build)
    x = torch.randn(3, 3, 16, 16)
    assert torch.allclose(float_run(trace(model, (3, 16, 16)), x), model.double()(x.double()), atol=1e-9)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_zoo_is_mapped(name: str) -> None:
    torch.manual_seed(0)
    model = networks.build(name).eval()
    x = torch.randn(2, 3, 32, 32)
    graph = trace(model, (3, 32, 32))
    assert torch.allclose(float_run(graph, x), model.double()(x.double()), atol=1e-8)
    assert graph.layers[-1].flat and not graph.layers[-1].relu_after


def test_the_users_model_is_left_as_it_was() -> None:
    model = seeded(MeanHead).train()
    trace(model, (3, 16, 16))
    assert model.training


class Around(nn.Module):
    """A convolution, something in question, a head."""

    def __init__(self, between: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.odd = between
        self.head = nn.Linear(8 * 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.odd(self.conv(x)), 1))


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (nn.Sigmoid(), r"odd \(Sigmoid\) cannot be mapped: allowed are Conv2d"),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), r"odd \(Conv2d\) cannot be mapped: groups = 8"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"), "padding_mode = 'circular'"),
        (
            nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8)),
            r"odd.1 \(BatchNorm2d\) cannot be mapped: a batch norm is folded",
        ),
        (nn.BatchNorm2d(8, track_running_stats=False), "running statistics"),
        (nn.BatchNorm2d(8, eps=0.0), r"odd \(BatchNorm2d\) .*variance \+ eps is 0; it must be above 0"),
        (nn.MaxPool2d(1, ceil_mode=True), "ceil_mode"),
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), "same number"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.ZeroPad2d((2, 3, 2, 3))), "8x8 does not divide into 3x3 equal"),
        (lambda x: x * 2, r"mul.* cannot be mapped"),
        (lambda x: x + 1.0, "operands is not computed from the image"),
        (lambda x: torch.add(x, x), "one operand must come straight"),
        (lambda x: x + x.mean((2, 3), keepdim=True), "differ in shape"),
        (lambda x: x.permute(0, 2, 3, 1), "permute.* cannot be mapped"),
        (lambda x: x.mean(1, keepdim=True).repeat(1, 8, 1, 1), "mean over height and width"),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")[..., 1:-1, 1:-1], "zeros around"),
        (lambda x: F.pad(x, (1, 1), value=2.0)[..., 1:-1], "zeros around"),
        (lambda x: x[:, torch.arange(8)], "only slices"),
        (lambda x: x.transpose(1, 2).reshape(x.shape), "transpose.* cannot be mapped"),
        (lambda x: x if x.sum() > 0 else -x, "control flow"),
    ],
)
def test_what_cannot_be_mapped_is_refused_by_name(between: Callable[[Tensor], Tensor], message: str) -> None:
    model = Around(between)
    if isinstance(between, nn.BatchNorm2d) and between.running_var is not None:
        between.running_var.zero_()
    with pytest.raises(UserError, match=message) as caught:
        trace(model, (3, 8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_lopsided_padding_is_refused() -> None:
    with pytest.raises(UserError, match="even kernel is lopsided"):
        trace(Around(nn.Conv2d(8, 8, 2, padding="same")), (3, 8, 8))


def test_nan_weights_are_refused_by_name() -> None:
    model = Around(nn.ReLU())
    model.conv.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"conv.weight: 1 values are NaN or infinite"):
        trace(model, (3, 8, 8))


def test_a_wrong_image_shape_is_refused() -> None:
    with pytest.raises(UserError, match="does not take 1x8x8 images"):
        trace(Around(nn.ReLU()), (1, 8, 8))


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to put on tiles"):
        trace(nn.Sequential(nn.Flatten()), (3, 8, 8))
