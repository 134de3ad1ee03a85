// What a streaming unit does with words, as a specification written by hand, for a unit whose arithmetic is abstracted:
// every number is all zeros or all ones, and a stage's outputs are ones where any of its inputs is.

// From any state of the unit on: parameters are written, then L + 1 cycles pass in which the pipeline moves on. The word
// offered in the first of them is at the output in the last, ones where it or its column's parameters are ones.
module window #(
  parameter L = 6, COLUMNS = 4, CB = 2, WB = 2, IW = 1, OW = 1, MW = 1, DW = 1, LW = 1, LAST = 0
) (
  input clk, valid, ready, colour, input [CB-1:0] column, input [MW-1:0] mask, input [LW-1:0] layer,
  output holds, reached
);
  localparam START = COLUMNS + 1;  // a write of every column, then one that is masked
  reg [7:0] t = 0;
  reg [COLUMNS-1:0] row = 0;
  reg [WB-1:0] at = 0, then = 0;
  reg allowed = 1, first = 0, marked = 0, any = 0, right = 1;
  wire [OW-1:0] out;
  wire [COLUMNS-1:0] flags;
  wire [WB-1:0] word;
  wire i_ready, o_valid, idle;
  wire writes = t < START, inside = t >= START && t < START + L;
  wire [CB-1:0] written = t < COLUMNS ? t : column;
  wire [MW-1:0] masked = t < COLUMNS ? {MW{1'b1}} : mask;
  nmpu unit(
    .clk(clk), .rst(1'b0), .i__valid(valid), .i__payload({IW{colour}}), .i__ready(i_ready),
    .o__valid(o_valid), .o__ready(ready), .o__payload(out), .flags(flags), .idle(idle),
`ifdef LAYERED
    .layer__data(layer | LAST),
`endif
`ifdef COUNTED
    .word(word),
`endif
    .layer__en(t == 0), .write__en(writes), .write__column(written), .write__mask(masked), .write__data({DW{colour}}));
`ifndef COUNTED
  assign word = 0;
`endif
  wire expected = marked || row[at];
  wire [WB-1:0] following = !valid ? word : word == COLUMNS - 1 ? 0 : word + 1;
  wire ends = t == START + L && allowed;
  assign reached = ends && first && o_valid && out != 0;
  assign holds = !ends || (right
    && o_valid == first
    && (!first || (out != 0) == expected)
    && (!first || !expected || flags[at])
    && idle == (!any && word == 0));
  always @(posedge clk) begin
    t <= ends || t > START + L ? t : t + 1;
    // a part of a column written: the other fields keep what they have
    if (writes && written < COLUMNS && masked != 0) row[written] <= &masked ? colour : row[written] | colour;
    if (t == START) begin
      first <= valid;
      marked <= colour;
      at <= word;
      if (word >= COLUMNS) allowed <= 0;
    end
    if (inside) any <= any || valid;
    if (t >= START && o_valid && !ready) allowed <= 0;
    then <= following;
    if (t > START && word != then) right <= 0;
  end
endmodule

// From a reset on: a word that is marked leaves behind a stall, so what the other questions assume can happen.
module trace #(
  parameter COLUMNS = 4, CB = 2, IW = 1, OW = 1, MW = 1, DW = 1, LW = 1, LAST = 0
) (input clk, valid, ready, output reached);
  reg [1:0] t = 0;
  reg waited = 0;
  wire [OW-1:0] out;
  wire o_valid;
  nmpu unit(
    .clk(clk), .rst(t == 0), .i__valid(t == 3 && valid), .i__payload({IW{1'b1}}), .i__ready(),
    .o__valid(o_valid), .o__ready(ready), .o__payload(out), .flags(), .idle(),
`ifdef LAYERED
    .layer__data(LAST),
`endif
    .layer__en(t == 1), .write__en(t == 2), .write__column({CB{1'b0}}), .write__mask({MW{1'b1}}),
    .write__data({DW{1'b0}}));
  assign reached = waited && o_valid && ready && out != 0;
  always @(posedge clk) begin
    t <= t == 3 ? 3 : t + 1;
    waited <= t == 3 && o_valid && !ready;
  end
endmodule
