"""Papers: each a shipped study and its comparison with the paper's figures, one module a paper."""
