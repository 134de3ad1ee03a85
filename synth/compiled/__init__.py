"""Units as compiled models, driven from numpy arrays."""

from synth.compiled.build import Engine
from synth.compiled.unit import CompiledUnit

__all__ = ["CompiledUnit", "Engine"]
