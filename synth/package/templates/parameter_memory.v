// Parameter memory: DEPTH rows of LANES numbers of BITS bits; one write port with an enable a lane, one read port.
//
// Replace the body by a compiled memory, a latch array, or leave it: synthesis makes flip-flops of it.
//  * Write: at the rising edge, the lanes whose `write_enable` is 1.
//  * Read: `read_data` shows, after the rising edge at which `read_enable` is 1, the row as it was before that edge.
//    It holds where `read_enable` is 0. A row is never read for use in the cycle in which it is written.
//  * Rows start as 0 in simulation and on FPGAs; nothing relies on it: software writes parameters before use.
module @UNIT@_parameter_memory (clk, write_enable, write_address, write_data, read_enable, read_address, read_data);
  parameter LANES = 1;
  parameter BITS = 8;
  parameter DEPTH = 2;
  parameter ADDRESS_BITS = 1;
  input clk;
  input [LANES-1:0] write_enable;
  input [ADDRESS_BITS-1:0] write_address;
  input [LANES*BITS-1:0] write_data;
  input read_enable;
  input [ADDRESS_BITS-1:0] read_address;
  output reg [LANES*BITS-1:0] read_data;
  reg [LANES*BITS-1:0] rows [0:DEPTH-1];
  integer row, lane;
  initial
    for (row = 0; row < DEPTH; row = row + 1) rows[row] = {LANES*BITS{1'b0}};
  always @(posedge clk)
    for (lane = 0; lane < LANES; lane = lane + 1)
      if (write_enable[lane]) rows[write_address][lane*BITS +: BITS] <= write_data[lane*BITS +: BITS];
  always @(posedge clk)
    if (read_enable) read_data <= rows[read_address];
endmodule
