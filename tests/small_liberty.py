"""A cell library of six cells, invented, so that the flow is tested where no real one is at hand."""

from __future__ import annotations

_HEADER = """library ({name}) {{
  /* invented: round numbers */
  delay_model : table_lookup;
  time_unit : "{time}";
  capacitive_load_unit (1,ff);
  voltage_unit : "1V";
  current_unit : "1mA";
  pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1nW";
  default_max_transition : 500;
  nom_process : 1; nom_temperature : 25; nom_voltage : 1;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20; slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80; slew_upper_threshold_pct_fall : 80;
  lu_table_template (delays) {{
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1, 100"); index_2 ("0.1, {reach}");
  }}
  lu_table_template (limits) {{
    variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("1, 100"); index_2 ("1, 100");
  }}
"""


def _tables(delay: float, drive: float) -> str:
    """Delay and transition: `delay` ps unloaded, `drive` ps more at 100 fF, half the input's transition on top."""
    values = [[delay, delay + drive], [delay + 50, delay + 50 + drive]]
    rows = ", ".join('"' + ", ".join(f"{value:g}" for value in row) + '"' for row in values)
    kinds = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    return " ".join(f"{kind} (delays) {{ values ({rows}); }}" for kind in kinds)


def _gate(name: str, area: float, function: str, sense: str, delay: float, drive: float, most: float) -> str:
    inputs = sorted({letter for letter in function if letter.isalpha()})
    pins = "".join(f"    pin ({pin}) {{ direction : input; capacitance : 1; }}\n" for pin in inputs)
    arcs = "".join(
        f'      timing () {{ related_pin : "{pin}"; timing_sense : {sense}; {_tables(delay, drive)} }}\n'
        for pin in inputs
    )
    return (
        f"  cell ({name}) {{\n    area : {area};\n{pins}"
        f'    pin (Y) {{ direction : output; function : "{function}"; max_capacitance : {most};\n{arcs}    }}\n  }}\n'
    )


FLOP = f"""  cell (DFF) {{
    area : 5;
    ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; }}
    pin (CK) {{ direction : input; clock : true; capacitance : 1; }}
    pin (D) {{ direction : input; capacitance : 1;
      timing () {{ related_pin : "CK"; timing_type : setup_rising;
        rise_constraint (limits) {{ values ("20, 20", "20, 20"); }}
        fall_constraint (limits) {{ values ("20, 20", "20, 20"); }} }}
    }}
    pin (Q) {{ direction : output; function : "IQ"; max_capacitance : 100;
      timing () {{ related_pin : "CK"; timing_type : rising_edge; timing_sense : non_unate; {_tables(40, 100)} }}
    }}
  }}
"""
"""A flip-flop: 40 ps from clock to output, 20 ps set-up, area 5."""
BUFFERS = _gate("BUFX1", 2, "A", "positive_unate", 20, 100, 50) + _gate("BUFX2", 3, "A", "positive_unate", 20, 50, 100)
"""Two buffers; the second is the driver."""
GATES = (
    _gate("INV", 1, "!A", "negative_unate", 10, 100, 100)
    + _gate("NAND2", 2, "!(A*B)", "negative_unate", 15, 100, 100)
    + _gate("NOR2", 2, "!(A+B)", "negative_unate", 15, 100, 100)
)
"""Inverter, NAND and NOR: 10 and 15 ps, area 1 and 2."""

CLOCK_GATE = f"""  cell (ICG) {{
    area : 4;
    clock_gating_integrated_cell : "latch_posedge";
    statetable ("CK E", "IQ") {{ table : "L L : - : L, L H : - : H, H - : - : N"; }}
    pin (CK) {{ direction : input; clock : true; capacitance : 1; clock_gate_clock_pin : true; }}
    pin (E) {{ direction : input; capacitance : 1; clock_gate_enable_pin : true;
      timing () {{ related_pin : "CK"; timing_type : setup_rising;
        rise_constraint (limits) {{ values ("20, 20", "20, 20"); }}
        fall_constraint (limits) {{ values ("20, 20", "20, 20"); }} }}
    }}
    pin (GCLK) {{ direction : output; state_function : "CK * IQ"; max_capacitance : 100; clock_gate_out_pin : true;
      timing () {{ related_pin : "CK"; when : "E"; timing_sense : positive_unate; {_tables(30, 100)} }}
      timing () {{ related_pin : "CK"; when : "!E"; timing_sense : positive_unate; {_tables(50, 100)} }}
    }}
  }}
"""
"""A clock gate: 30 ps or 50 ps from clock to gated clock, as real ones have several, 20 ps set-up, area 4."""


def small_liberty(*parts: str, name: str = "small", time: str = "1ps", reach: float = 100) -> str:
    """Return the library of some parts; all of them by default."""
    return _HEADER.format(name=name, time=time, reach=reach) + "".join(parts or (FLOP, BUFFERS, GATES)) + "}\n"
