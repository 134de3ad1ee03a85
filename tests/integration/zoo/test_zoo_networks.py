import sys

import pytest
import torch

from golden_model.errors import UserError
from integration.zoo import networks


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [("resnet9s", 10, 100_726), ("resnet20", 10, 269_722), ("resnet32", 10, 464_154), ("resnet32", 100, 470_004)],
)
def test_parameter_counts_are_the_published_ones(name: str, classes: int, count: int) -> None:
    assert networks.parameters(networks.build(name, classes=classes)) == count


@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_trace_with_the_default_tracer_and_compute_the_same(name: str, channels: int) -> None:
    torch.manual_seed(0)
    model = networks.build(name, classes=7, in_channels=channels).eval()
    x = torch.randn(2, channels, 32, 32)
    traced = torch.fx.symbolic_trace(model)
    assert model(x).shape == (2, 7)
    assert torch.equal(traced(x), model(x))


def test_names_are_those_of_the_public_checkpoints() -> None:
    ours = networks.build("resnet20").state_dict()
    for name in ("conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer3.2.bn2.bias", "linear.bias"):
        assert name in ours
    assert not any("shortcut" in name for name in ours)  # option A has no parameters
    assert {"res1.conv1.weight", "res2.bn2.bias", "conv4.weight", "fc.bias"} <= networks.build(
        "resnet9s"
    ).state_dict().keys()


def test_option_a_shortcut_takes_every_second_pixel_and_pads_channels_on_both_sides() -> None:
    block = networks.BasicBlock(2, 4, 2).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 2, 4, 4)
    y = block(x)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, 0].any() and not y[:, 3].any()


def test_resnet9s_block_adds_after_the_relu() -> None:
    block = networks.LateResidual(2).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = -torch.rand(1, 2, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet9", "did you mean resnet9s.*resnet20.*package.module:factory"),
        ("", "unknown network"),
        ("no_such_module_here:net", "importing 'no_such_module_here' failed"),
        ("json:nothing", "has no function 'nothing'"),
        ("json:dumps", "needs obj"),
        ("argparse:Namespace", "returned Namespace"),
        ("os:", "has no function"),
    ],
)
def test_a_name_that_is_no_network_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        networks.build(name)
    assert "\n" not in str(caught.value)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="0 classes"):
        networks.build("resnet9s", classes=0)


def test_a_factory_in_the_current_folder_gets_what_it_asks_for(tmp_path, monkeypatch) -> None:
    (tmp_path / "zoo_factories.py").write_text(
        "from torch import nn\n"
        "def plain(): return nn.Flatten()\n"
        "def sized(classes, width=3): return nn.Linear(width, classes)\n"
        "def both(classes, in_channels): return nn.Linear(in_channels, classes)\n"
        "def broken(): raise RuntimeError('inside')\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert isinstance(networks.build("zoo_factories:plain"), torch.nn.Flatten)
    assert networks.build("zoo_factories:sized", classes=5).weight.shape == (5, 3)
    assert networks.build("zoo_factories:both", classes=5, in_channels=2).weight.shape == (5, 2)
    with pytest.raises(UserError, match=r"calling the factory failed .RuntimeError: inside"):
        networks.build("zoo_factories:broken")
    assert sys.path == path
