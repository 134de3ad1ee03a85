"""The project whole: `convert` puts a torch model on analog tiles, `evaluate` says what each digital unit costs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integration.mapping.network import ConvertedNetwork, convert
    from integration.studies.evaluate import Evaluation, evaluate

__all__ = ["ConvertedNetwork", "Evaluation", "convert", "evaluate"]

_HOMES = {
    "ConvertedNetwork": "integration.mapping.network",
    "convert": "integration.mapping.network",
    "Evaluation": "integration.studies.evaluate",
    "evaluate": "integration.studies.evaluate",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: torch takes a second that a command without it need not wait."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
