// Clock gate: `gated` is `clk` in the cycles in which `enable` was 1 at the rising edge of `clk`.
//
// Replace the body by the library's integrated clock gate, for example
//   ICGx1 gate (.CLK(clk), .ENA(enable), .SE(test_enable), .GCLK(gated));
// `test_enable` is tied to 0 where it is instantiated; DFT insertion connects it.
// The latch is transparent while `clk` is low, so that `gated` has no glitch whatever `enable` does meanwhile.
module @UNIT@_clock_gate (clk, enable, test_enable, gated);
  input clk;
  input enable;
  input test_enable;
  output gated;
  reg enabled;
  /* verilator lint_off LATCH */
  always @*
    if (!clk) enabled = enable | test_enable;
  /* verilator lint_on LATCH */
  assign gated = clk & enabled;
endmodule
