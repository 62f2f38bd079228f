"""CUDA's path through the engine without a card: tensors that have a device and a shape only.

Under torch's ``FakeTensorMode`` every operation is checked for shapes, formats and devices, and
nothing is computed. A forward pass works as it is. A backward pass does not, as torch's engine
asks the driver for streams, so ``gradients`` walks the graph of recorded operations by itself and
calls each one's own backward. Only for checks: knows nothing of training.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

CUDA, META = 1, 14  # c10::DeviceType
SYMBOL = "_ZN3c104impl26device_guard_impl_registryE"


@contextlib.contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Within, tensors on the yielded device are fake; for a process of its own."""
    _lend_a_device_guard()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("cuda", 0)


def _lend_a_device_guard() -> None:
    """Give a torch that was built without CUDA the guard of the "meta" device for it.

    Without one, a graph on cuda ends the process. A torch with CUDA has its own.
    """
    library = ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libc10.so"))  # noqa: PTH118, PTH120
    guards = (ctypes.c_void_p * (META + 1)).in_dll(library, SYMBOL)
    if not guards[CUDA]:
        guards[CUDA] = guards[META]


def gradients(output: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """d output / d inputs for a scalar ``output``, node by node; None where there is no path."""
    root: Any = output.grad_fn
    waiting = _uses(root)
    arrived: dict[Any, dict[int, Tensor]] = {root: {output.output_nr: torch.ones_like(output)}}
    wanted = {id(tensor): None for tensor in inputs}
    gradient_of: dict[int, Tensor | None] = dict(wanted)
    ready = [root]
    with _one_backward_pass():
        while ready:
            node = ready.pop()
            upstream = arrived.pop(node, {})
            leaf = getattr(node, "variable", None)
            if leaf is not None:  # the graph's end: what is trained
                if id(leaf) in gradient_of:
                    gradient_of[id(leaf)] = upstream.get(0)
                continue
            edges = [edge for edge in node.next_functions if edge[0] is not None]
            for (following, place), passed in zip(edges, _backward(node, upstream), strict=True):
                if passed is not None:
                    gradient = passed.to(following._input_metadata[place].dtype)  # as torch does
                    at = arrived.setdefault(following, {})
                    at[place] = at[place] + gradient if place in at else gradient
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)
    return [gradient_of[id(tensor)] for tensor in inputs]


def _one_backward_pass() -> contextlib.AbstractContextManager[Any]:
    """Within, a layer's activations are recomputed once, not once for each tensor it saved.

    torch knows one backward pass by its engine's task, and there is none here. Where it has no
    group for that, each is recomputed, which takes longer.
    """
    group = getattr(torch.utils.checkpoint, "GraphExecGroup", None)
    return group() if group is not None else contextlib.nullcontext()


def _uses(root: Any) -> dict[Any, int]:
    """How many edges lead to each node."""
    uses: dict[Any, int] = {}
    seen, stack = {root}, [root]
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is not None:
                uses[following] = uses.get(following, 0) + 1
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
    return uses


def _backward(node: Any, upstream: dict[int, Tensor]) -> list[Tensor | None]:
    """One gradient for each edge of ``node`` that leads somewhere."""
    leads = [following is not None for following, _ in node.next_functions]
    if not upstream:
        return [None] * sum(leads)
    arguments = [upstream.get(place) for place in range(len(node._input_metadata))]
    written_in_python = hasattr(node, "apply")
    with torch.no_grad():
        result = node.apply(*arguments) if written_in_python else node(*arguments)
    passed = result if isinstance(result, tuple) else (result,)
    # A function in Python returns something for each argument, numbers and None included, and
    # torch's own wrapper of custom operators for one more.
    wanted = node.needs_input_grad if written_in_python else leads
    return [gradient for gradient, wants in zip(passed, wanted, strict=False) if wants]


class Kept:
    """Counts the bytes that a graph holds for its backward pass, each storage once."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._weights = {_key(p) for p in [*model.parameters(), *model.buffers()]}
        self._held: dict[int, Tensor] = {}

    @property
    def bytes(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self._held.values())

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._hold, lambda tensor: tensor):
            yield

    def _hold(self, tensor: Tensor) -> Tensor:
        key = _key(tensor)
        if key not in self._weights and tensor.device.type == "cuda":
            self._held.setdefault(key, tensor)
        return tensor


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def moved(model: Any, device: torch.device) -> Any:
    """``model``, whose weights are on "meta", with fake ones on ``device``; dtypes stay."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                value = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                wants = parameter.requires_grad
                module._parameters[name] = torch.nn.Parameter(value, requires_grad=wants)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    return model


class CountedKernel:
    """torch's variable-length attention, and how often it was called."""

    def __init__(self) -> None:
        self.calls = 0


@contextlib.contextmanager
def stand_ins() -> Iterator[CountedKernel]:
    """Within, what would read a value from the device is answered as a card answers it.

    The kernel's mask is taken for tried; copies go without pinned memory, which fake tensors lack.
    """
    from training.engine.data import examples
    from training.engine.forward import tree_attention_cuda
    from training.engine.runtime import transfer

    counted = CountedKernel()
    kernel = tree_attention_cuda._kernel()
    if kernel is None:
        raise RuntimeError("this torch has no variable-length attention")

    @functools.wraps(kernel)
    def call(*arguments: Any, **named: Any) -> Any:
        counted.calls += 1
        return kernel(*arguments, **named)

    before = (
        tree_attention_cuda._kernel,
        tree_attention_cuda.aligned,
        transfer.moved,
        examples.moved,
    )
    tree_attention_cuda._kernel = lambda: call
    tree_attention_cuda.aligned = lambda _: True
    transfer.moved = examples.moved = lambda tensor, device: tensor.to(device)
    try:
        yield counted
    finally:
        tree_attention_cuda._kernel, tree_attention_cuda.aligned = before[:2]
        transfer.moved, examples.moved = before[2:]
