"""The bench of a unit behind its bus: requester, streams that run beside it, and what is checked."""
