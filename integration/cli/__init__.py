"""The command line."""

from integration.cli.main import app, main

__all__ = ["app", "main"]
