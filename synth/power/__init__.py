"""Energy of a mapped unit from the switching activity of a trace: gate-level simulation, toggles, Liberty's tables."""
