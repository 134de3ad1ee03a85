"""Units as compiled models, driven from numpy arrays."""

from synth.compiled.build import Engine
from synth.compiled.scale_array import CompiledArray
from synth.compiled.unit import CompiledUnit

__all__ = ["CompiledArray", "CompiledUnit", "Engine"]
