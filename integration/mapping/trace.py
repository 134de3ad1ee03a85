"""From a plain torch model to a `Graph`: torch.fx finds the operations, an example image their shapes.

What cannot be mapped is refused with the module's name; nothing is approximated silently.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from golden_model.errors import UserError
from integration.mapping.operations import Flatten, Graph, Layer, MaxPool, Operation, Pad, Slice, SumPool, finite
from sim.array import Geometry, pair

_ALLOWED = (
    "Conv2d, Linear, BatchNorm2d behind a convolution, ReLU, residual add, max, average and adaptive pooling, "
    "mean over height and width, flatten, strided slice, zero padding"
)


class _Recorder(fx.Interpreter):
    """Runs the traced model once and keeps every result."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.results: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and keep its result."""
        result = super().run_node(n)
        self.results[n] = result
        return result


def trace(model: nn.Module, image_shape: tuple[int, ...]) -> Graph:
    """Return the operations of `model` (evaluation mode) for images of `image_shape` = (channels, height, width)."""
    model = copy.deepcopy(model).eval()
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # torch.fx raises whatever the user's forward raises
        raise UserError(
            f"{type(model).__name__} cannot be traced by torch.fx ({error}); write its forward without control flow "
            "that depends on data"
        ) from error
    recorder = _Recorder(traced)
    try:
        with torch.no_grad():
            recorder.run(torch.zeros(2, *image_shape))
    except RuntimeError as error:
        shape = "x".join(map(str, image_shape))
        raise UserError(f"{type(model).__name__} does not take {shape} images: {str(error).splitlines()[0]}") from error
    return _Mapper(traced, recorder.results).graph


class _Mapper:
    """Walks the traced nodes in order; `values` maps a node to the value that holds its result."""

    def __init__(self, traced: fx.GraphModule, results: dict[fx.Node, Any]) -> None:
        self.modules = dict(traced.named_modules())
        self.results = results
        self.values: dict[fx.Node, int] = {}
        self.aliases: set[fx.Node] = set()
        self.graph = Graph()
        for node in traced.graph.nodes:
            self.visit(node)

    def where(self, node: fx.Node) -> str:
        """Return what to call a node in a message."""
        if node.op == "call_module":
            return f"{node.target} ({type(self.modules[str(node.target)]).__name__})"
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        stack = node.meta.get("nn_module_stack") or {}
        inside = [path for path in stack if path]
        return f"{name} in {inside[-1]}" if inside else str(name)

    def refuse(self, node: fx.Node, why: str) -> NoReturn:
        """Refuse a node by name."""
        raise UserError(f"{self.where(node)} cannot be mapped: {why}")

    def concrete(self, value: Any) -> Any:
        """Return an argument with traced integers (sizes, say) replaced by their values."""
        return fx.map_arg(value, lambda n: n if n in self.values else self.results[n])

    def visit(self, node: fx.Node) -> None:
        """Map one node."""
        if node.op == "placeholder":
            if self.values:
                self.refuse(node, "a network takes one image batch")
            self.values[node] = 0
            return
        if node.op == "output":
            self.finish(node)
            return
        if node.op == "get_attr" or not isinstance(self.results[node], Tensor):
            return  # sizes, constants: read through `concrete`
        args, kwargs = self.concrete(node.args), self.concrete(node.kwargs)
        if node.op == "call_module":
            self.module(node, self.modules[str(node.target)], args, kwargs)
            return
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        handler = _FUNCTIONS.get(name)
        if handler is None:
            self.refuse(node, f"allowed are {_ALLOWED}")
        handler(self, node, *args, **kwargs)

    def finish(self, node: fx.Node) -> None:
        """Check the result."""
        result = node.args[0]
        if not isinstance(result, fx.Node) or self.values.get(result) != len(self.graph.operations):
            self.refuse(node, "a network returns one tensor, that of its last operation")
        if not self.graph.layers:
            self.refuse(node, "there is no Conv2d or Linear in it, so nothing to put on tiles")
        for layer in self.graph.layers:
            if layer.residual is None and layer.relu_before:
                layer.relu_before, layer.relu_after = False, True
        changed = ((each, number) for each, number in self.values.items() if each not in self.aliases)
        last = {number: each.name for each, number in changed}  # nodes come in order
        self.graph.nodes = tuple(last[number] for number in range(len(last)))

    def value(self, node: fx.Node, of: Any) -> int:
        """Return the number of an argument's value."""
        if not isinstance(of, fx.Node) or of not in self.values:
            self.refuse(node, "one of its operands is not computed from the image")
        return self.values[of]

    def append(self, node: fx.Node, operation: Operation) -> None:
        """Add an operation that makes a node's value."""
        self.graph.operations.append(operation)
        self.values[node] = len(self.graph.operations)

    def open_layer(self, of: Any) -> Layer | None:
        """Return the layer that made a value, if nothing else reads it: what follows can be folded into it."""
        if not isinstance(of, fx.Node) or self.values.get(of, 0) == 0 or len(of.users) != 1:
            return None
        made = self.graph.operations[self.values[of] - 1]
        return made if isinstance(made, Layer) else None

    # Modules

    def module(self, node: fx.Node, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Map a module of torch.nn."""
        x = args[0] if args else next(iter(kwargs.values()))
        match module:
            case nn.Identity() | nn.Dropout() | nn.Dropout2d():
                self.same(node, x)
            case nn.Conv2d():
                self.convolution(node, module, x)
            case nn.Linear():
                weights = finite(f"{node.target}.weight", module.weight.detach())[:, :, None, None]
                self.layer(node, x, weights, Geometry(), module.bias, flat=True)
            case nn.BatchNorm2d() | nn.BatchNorm1d():
                self.batch_norm(node, module, x)
            case nn.ReLU():
                self.relu(node, x)
            case nn.MaxPool2d():
                self.max_pool(
                    node, x, module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode,
                    module.return_indices,
                )  # fmt: skip
            case nn.AvgPool2d():
                self.average_pool(
                    node, x, module.kernel_size, module.stride, module.padding, module.ceil_mode,
                    module.count_include_pad, module.divisor_override,
                )  # fmt: skip
            case nn.AdaptiveAvgPool2d():
                self.adaptive_pool(node, x, module.output_size)
            case nn.Flatten():
                self.flatten(node, x, module.start_dim, module.end_dim)
            case nn.ZeroPad2d():
                self.pad(node, x, module.padding)
            case _:
                self.refuse(node, f"allowed are {_ALLOWED}")

    def convolution(self, node: fx.Node, module: nn.Conv2d, x: Any) -> None:
        """Map a convolution."""
        if module.groups != 1:
            self.refuse(node, f"groups = {module.groups}; only groups = 1 shares one crossbar column a channel")
        if module.padding_mode != "zeros":
            self.refuse(node, f"padding_mode = {module.padding_mode!r}; only zeros are read as no current")
        padding: Any = module.padding
        if isinstance(padding, str):
            spans = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            if padding == "same" and any(span % 2 for span in spans):
                self.refuse(node, "padding = 'same' with an even kernel is lopsided; pad explicitly")
            padding = [span // 2 if padding == "same" else 0 for span in spans]
        geometry = Geometry.of(module, padding)
        self.layer(node, x, finite(f"{node.target}.weight", module.weight.detach()), geometry, module.bias)

    def layer(
        self, node: fx.Node, x: Any, weights: Any, geometry: Geometry, bias: Tensor | None, *, flat: bool = False
    ) -> None:
        """Start a layer on tiles."""
        if flat and self.results[x].ndim != 2:
            self.refuse(node, "a linear layer takes flat features; flatten the image before it")
        columns = len(weights)
        beta = np.zeros(columns) if bias is None else finite(f"{node.target}.bias", bias.detach())
        self.append(
            node,
            Layer(
                name=str(node.target),
                source=self.value(node, x),
                weights=weights,
                geometry=geometry,
                gamma=np.ones(columns),
                beta=beta,
                flat=flat,
            ),
        )

    def batch_norm(self, node: fx.Node, module: nn.BatchNorm2d | nn.BatchNorm1d, x: Any) -> None:
        """Fold a batch norm into the layer before it."""
        layer = self.open_layer(x)
        if layer is None or layer.normalised or layer.relu_before or layer.residual is not None:
            self.refuse(
                node, "a batch norm is folded into the Conv2d or Linear right before it, which nothing else reads"
            )
        if module.running_mean is None or module.running_var is None:
            self.refuse(node, "it keeps no running statistics (track_running_stats=False)")
        variance = finite(f"{node.target}.running_var", module.running_var) + module.eps
        if (variance <= 0).any():
            self.refuse(node, f"variance + eps is {variance.min():.3g}; it must be above 0")
        ones, zeros = np.ones_like(variance), np.zeros_like(variance)
        weight = ones if module.weight is None else finite(f"{node.target}.weight", module.weight.detach())
        shift = zeros if module.bias is None else finite(f"{node.target}.bias", module.bias.detach())
        mean = finite(f"{node.target}.running_mean", module.running_mean)
        layer.gamma = weight / np.sqrt(variance)
        layer.beta = (layer.beta - mean) * layer.gamma + shift
        layer.normalised = True
        self.values[node] = self.values[x]

    # Functions and methods

    def relu(self, node: fx.Node, x: Any, inplace: bool = False) -> None:
        """Fold a ReLU into the layer before it; behind a value that cannot be negative it is nothing."""
        layer = self.open_layer(x)
        if layer is None:
            self.refuse(
                node, "a ReLU is folded into the layer or residual add right before it, which nothing else reads"
            )
        if layer.residual is None:
            layer.relu_before = True
        else:
            layer.relu_after = True
        self.values[node] = self.values[x]

    def add(self, node: fx.Node, x: Any, y: Any, alpha: Any = 1) -> None:
        """Make one operand the residual of the layer that made the other."""
        if alpha != 1:
            self.refuse(node, f"alpha = {alpha}; a residual is added as it is")
        operands = [x, y]
        numbers = [self.value(node, operand) for operand in operands]
        if self.results[x].shape != self.results[y].shape:
            self.refuse(node, "its operands differ in shape; broadcasting is not mapped")
        hosts = [
            index
            for index, operand in enumerate(operands)
            if (layer := self.open_layer(operand)) is not None and layer.residual is None
        ]
        if not hosts or numbers[0] == numbers[1]:
            self.refuse(node, "one operand must come straight from a Conv2d or Linear that nothing else reads")
        host = max(hosts, key=lambda index: numbers[index])
        layer = self.open_layer(operands[host])
        assert layer is not None
        layer.residual = numbers[1 - host]
        self.values[node] = numbers[host]
        if numbers[host] < numbers[1 - host]:
            self.move_to_end(numbers[host])

    def move_to_end(self, number: int) -> None:
        """Move a layer that nothing read yet behind the value that it adds."""
        operation = self.graph.operations.pop(number - 1)
        self.graph.operations.append(operation)
        last = len(self.graph.operations)

        def renumber(value: int) -> int:
            return last if value == number else value - 1 if value > number else value

        self.values = {node: renumber(value) for node, value in self.values.items()}
        for other in self.graph.operations:
            if isinstance(other, Layer):
                other.residual = None if other.residual is None else renumber(other.residual)
            other.source = renumber(other.source)

    def max_pool(
        self, node: fx.Node, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> None:  # fmt: skip
        """Map a max pooling."""
        if ceil_mode or return_indices:
            self.refuse(node, "ceil_mode and return_indices are not mapped")
        kernel = pair(kernel_size)
        strides = kernel if stride in (None, []) else pair(stride)
        pool = MaxPool(
            source=self.value(node, x), kernel=kernel, stride=strides, padding=pair(padding), dilation=pair(dilation)
        )
        self.append(node, pool)

    def average_pool(
        self, node: fx.Node, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: Any = None,
    ) -> None:  # fmt: skip
        """Map an average pooling."""
        kernel = pair(kernel_size)
        strides = kernel if stride in (None, []) else pair(stride)
        if ceil_mode or divisor_override is not None or (pair(padding) != (0, 0) and not count_include_pad):
            self.refuse(node, "every window of an average pool must divide by the same number, its own size")
        self.append(node, SumPool(source=self.value(node, x), kernel=kernel, stride=strides, padding=pair(padding)))

    def adaptive_pool(self, node: fx.Node, x: Any, output_size: Any) -> None:
        """Map an adaptive average pooling whose windows are all of one size."""
        height, width = self.results[x].shape[-2:]
        wanted = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        rows, columns = (size if want is None else want for size, want in zip((height, width), wanted, strict=True))
        if height % rows or width % columns:
            self.refuse(node, f"{height}x{width} does not divide into {rows}x{columns} equal windows")
        self.average_pool(node, x, (height // rows, width // columns))

    def mean(self, node: fx.Node, x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> None:
        """Map a mean over height and width."""
        shape = self.results[x].shape
        axes = {axis % len(shape) for axis in ([dim] if isinstance(dim, int) else dim or range(len(shape)))}
        if len(shape) != 4 or axes != {2, 3} or kwargs.get("dtype") is not None:
            self.refuse(node, "only the mean over height and width is mapped")
        window = (int(shape[2]), int(shape[3]))
        self.append(node, SumPool(source=self.value(node, x), kernel=window, stride=window, squeeze=not keepdim))

    def flatten(self, node: fx.Node, x: Any, start_dim: int = 0, end_dim: int = -1) -> None:
        """Map a flatten of everything behind the batch."""
        self.reshape(node, x)

    def reshape(self, node: fx.Node, x: Any, *_: Any, **__: Any) -> None:
        """Map a view or reshape that keeps the shape or flattens everything behind the batch."""
        before, after = self.results[x].shape, self.results[node].shape
        if before == after:
            self.same(node, x)
        elif after == (before[0], before[1:].numel()):
            self.append(node, Flatten(source=self.value(node, x)))
        else:
            self.refuse(node, f"{tuple(before)} to {tuple(after)}; only the batch and one flat dimension may remain")

    def same(self, node: fx.Node, x: Any, *_: Any, **__: Any) -> None:
        """Map what leaves its operand as it is (contiguous, dropout in evaluation)."""
        self.values[node] = self.value(node, x)
        self.aliases.add(node)

    def getitem(self, node: fx.Node, x: Any, index: Any) -> None:
        """Map a slice of channels, rows and columns."""
        parts = index if isinstance(index, tuple) else (index,)
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            missing = self.results[x].ndim - len(parts) + 1
            parts = (*parts[:at], *[slice(None)] * missing, *parts[at + 1 :])
        if not all(isinstance(part, slice) for part in parts) or parts[0] != slice(None):
            self.refuse(node, "only slices behind the batch dimension are mapped")
        index_parts = tuple((part.start, part.stop, part.step) for part in parts[1:])
        self.append(node, Slice(source=self.value(node, x), index=index_parts))

    def pad(self, node: fx.Node, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> None:
        """Map zero padding."""
        pads = tuple(int(p) for p in ([pad] * 4 if isinstance(pad, int) else pad))
        if mode != "constant" or value not in (None, 0, 0.0) or len(pads) > 6:
            self.refuse(node, "only zeros around channels, rows and columns are mapped")
        self.append(node, Pad(source=self.value(node, x), pads=pads))


_Handler = Callable[..., None]
_FUNCTIONS: dict[str, _Handler] = {
    operator.add.__name__: _Mapper.add,
    operator.iadd.__name__: _Mapper.add,
    "add_": _Mapper.add,
    operator.getitem.__name__: _Mapper.getitem,
    F.relu.__name__: _Mapper.relu,
    "relu_": _Mapper.relu,
    "max_pool2d": _Mapper.max_pool,
    F.avg_pool2d.__name__: _Mapper.average_pool,
    F.adaptive_avg_pool2d.__name__: _Mapper.adaptive_pool,
    "mean": _Mapper.mean,
    "flatten": _Mapper.flatten,
    "view": _Mapper.reshape,
    "reshape": _Mapper.reshape,
    "contiguous": _Mapper.same,
    "dropout": _Mapper.same,
    F.pad.__name__: _Mapper.pad,
}
"""Functions and tensor methods by name; torch names them alike."""
