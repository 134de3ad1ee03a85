"""Proofs for all inputs, by composition; `synth.prove.unit` says what follows from which."""
