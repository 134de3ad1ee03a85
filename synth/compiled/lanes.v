// Memories and registers that hold all lanes fall apart into one a lane. A technology map; `LANES is given.
//
// Every lane has a write port of its own, lane 0's first, that writes its part of the row. A write that is
// not enabled goes to an address that does not exist: a model skips it at one comparison, where a mask of zeros would be
// queued, sorted and applied in every cycle.
(* techmap_celltype = "$mem_v2" *)
module lanes(RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = "";
  parameter signed SIZE = 1, OFFSET = 0, ABITS = 1, WIDTH = `LANES;
  parameter signed RD_PORTS = 1, WR_PORTS = `LANES;
  parameter INIT = 0, RD_CLK_ENABLE = 0, RD_CLK_POLARITY = 0, RD_TRANSPARENCY_MASK = 0, RD_COLLISION_X_MASK = 0;
  parameter RD_WIDE_CONTINUATION = 0, RD_CE_OVER_SRST = 0, RD_ARST_VALUE = 0, RD_SRST_VALUE = 0, RD_INIT_VALUE = 0;
  parameter WR_CLK_ENABLE = 1, WR_CLK_POLARITY = 1, WR_PRIORITY_MASK = 0, WR_WIDE_CONTINUATION = 0;
  input [RD_PORTS-1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [RD_PORTS*ABITS-1:0] RD_ADDR;
  output [RD_PORTS*WIDTH-1:0] RD_DATA;
  input [WR_PORTS-1:0] WR_CLK;
  input [WR_PORTS*WIDTH-1:0] WR_EN, WR_DATA;
  input [WR_PORTS*ABITS-1:0] WR_ADDR;
  localparam LANE = WIDTH / `LANES;
  wire _TECHMAP_FAIL_ = RD_PORTS != 1 || WR_PORTS != `LANES || RD_CLK_ENABLE != 0 || WIDTH % `LANES != 0 || INIT != 0
      || SIZE > 1 << ABITS;
  genvar k;
  generate
    if (WIDTH % `LANES == 0) for (k = 0; k < `LANES; k = k + 1) begin : lane
      \$mem_v2 #(
        .MEMID({"\\lane", 8'd48 + k / 1000 % 10, 8'd48 + k / 100 % 10, 8'd48 + k / 10 % 10, 8'd48 + k % 10}),
        .SIZE(SIZE), .OFFSET(OFFSET), .ABITS(ABITS + 1), .WIDTH(LANE), .INIT({SIZE*LANE{1'b0}}),
        .RD_PORTS(1), .RD_CLK_ENABLE(1'b0), .RD_CLK_POLARITY(1'b1), .RD_TRANSPARENCY_MASK(1'b0),
        .RD_COLLISION_X_MASK(1'b0), .RD_WIDE_CONTINUATION(1'b0), .RD_CE_OVER_SRST(1'b0),
        .RD_ARST_VALUE({LANE{1'bx}}), .RD_SRST_VALUE({LANE{1'bx}}), .RD_INIT_VALUE({LANE{1'bx}}),
        .WR_PORTS(1), .WR_CLK_ENABLE(1'b1), .WR_CLK_POLARITY(1'b1), .WR_PRIORITY_MASK(1'b0),
        .WR_WIDE_CONTINUATION(1'b0)
      ) rows (
        .RD_CLK(1'b0), .RD_EN(1'b1), .RD_ARST(1'b0), .RD_SRST(1'b0), .RD_ADDR({1'b0, RD_ADDR}),
        .RD_DATA(RD_DATA[k*LANE +: LANE]), .WR_CLK(WR_CLK[0]), .WR_EN({LANE{1'b1}}),
        .WR_ADDR({~WR_EN[k*WIDTH + k*LANE], WR_ADDR[k*ABITS +: ABITS]}), .WR_DATA(WR_DATA[k*WIDTH + k*LANE +: LANE])
      );
    end
  endgenerate
endmodule

(* techmap_celltype = "$dffe" *)
module registers(CLK, EN, D, Q);
  parameter WIDTH = `LANES, CLK_POLARITY = 1, EN_POLARITY = 1;
  input CLK, EN;
  input [WIDTH-1:0] D;
  output [WIDTH-1:0] Q;
  wire _TECHMAP_FAIL_ = WIDTH % `LANES != 0;
  localparam LANE = WIDTH / `LANES;
  genvar k;
  generate
    if (WIDTH % `LANES == 0) for (k = 0; k < `LANES; k = k + 1) begin : lane
      \$dffe #(.WIDTH(LANE), .CLK_POLARITY(CLK_POLARITY), .EN_POLARITY(EN_POLARITY))
        register (.CLK(CLK), .EN(EN), .D(D[k*LANE +: LANE]), .Q(Q[k*LANE +: LANE]));
    end
  endgenerate
endmodule
