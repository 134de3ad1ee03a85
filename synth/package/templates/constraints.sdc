# @TOP@: one clock, nothing but the unit between the ports and its registers.
#
# The period is the one that was asked for: @PERIOD@ ps@MEANING@.
# It is no promise for this configuration or your cells: `nmpu synth @UNIT@ --liberty FILE` reports the period that a
# mapped netlist reaches. These are its conditions: one ideal clock, input and output delay 0, so that ports count as
# registers beyond them; it also drives every input by a small buffer of the library and loads every output with one.
# A flow adds its own uncertainty, transitions, driving cells and loads.
#
# Picoseconds in a time unit of the tool: 1000 where it counts ns, 1 where it counts ps (as with ASAP7's Liberty files).
set picoseconds 1000.0

create_clock -name clk -period [expr @PERIOD@ / $picoseconds] [get_ports clk]
set_input_delay 0 -clock clk [get_ports {@INPUTS@}]
set_output_delay 0 -clock clk [get_ports {@OUTPUTS@}]
