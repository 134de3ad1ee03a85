// Plays a network's codes through scale_array and compares every sum, flag and counter. Plain Verilog-2005.
//
// Run in this folder, with scale_array.v, a netlist of it, or other RTL with the same ports:
//   iverilog -g2005 -o bench scale_array.v bench.v && vvp bench
// Each load writes the memory image of the scale factors and the mode, and streams codes, with pauses on both sides. The
// last line is PASS or FAIL.

module bench;
  localparam LOADS = @LOADS@, ROWS = @ROWS@, COLUMNS = @COLUMNS@, MOST_IN = @MOST_IN@, MOST_OUT = @MOST_OUT@;

  reg clk, rst, i__valid, o__ready, write__en, layer__en, layer__data;
  reg [@ROW_BITS@-1:0] write__row;
  reg [@MASK_BITS@-1:0] write__mask;
  reg [COLUMNS-1:0] write__data;
  reg [2*COLUMNS-1:0] i__payload;
  wire i__ready, o__valid, idle;
  wire [COLUMNS-1:0] o__payload, flags;
  wire [@ACTIVITY_BITS@-1:0] activity;

  reg [31:0] words [0:2*LOADS-1];
  reg [COLUMNS-1:0] scales [0:ROWS-1];
  reg [2*COLUMNS-1:0] inputs [0:MOST_IN-1];
  reg [COLUMNS-1:0] outputs [0:MOST_OUT-1];
  reg [COLUMNS-1:0] flagged [0:0];
  reg [@ACTIVITY_BITS@-1:0] counted [0:0];
  reg [8*64-1:0] file;
  reg [31:0] random;
  integer load, n, offered, wanted, sent, taken, total, errors, waited;

  scale_array unit (
    .clk(clk), .rst(rst),
    .i__valid(i__valid), .i__ready(i__ready), .i__payload(i__payload),
    .o__valid(o__valid), .o__ready(o__ready), .o__payload(o__payload),
    .write__en(write__en), .write__row(write__row), .write__mask(write__mask), .write__data(write__data),
    .layer__en(layer__en), .layer__data(layer__data), .flags(flags), .activity(activity), .idle(idle)
  );

  always #5 clk = ~clk;

  task wrong;
    begin
      errors = errors + 1;
      if (errors <= 10) $display("load %0d, word %0d: %h, expected %h", load, taken, o__payload, outputs[taken]);
    end
  endtask

  initial begin
    clk = 0; rst = 1; i__valid = 0; o__ready = 1; write__en = 0; layer__en = 0; layer__data = @BINARY@;
    write__row = 0; write__mask = 0; write__data = 0; i__payload = 0;
    random = 32'h2545f491; total = 0; errors = 0; taken = 0; waited = 0; load = 0;
    $readmemh("words.hex", words);
    repeat (2) @(negedge clk);
    rst = 0;
    for (load = 0; load < LOADS && waited < 1000; load = load + 1) begin
      $sformat(file, "load%0d_scales.hex", load); $readmemh(file, scales);
      $sformat(file, "load%0d_codes.hex", load); $readmemh(file, inputs, 0, words[2*load] - 1);
      $sformat(file, "load%0d_sums.hex", load); $readmemh(file, outputs, 0, words[2*load+1] - 1);
      $sformat(file, "load%0d_flags.hex", load); $readmemh(file, flagged);
      $sformat(file, "load%0d_activity.hex", load); $readmemh(file, counted);
      o__ready = 1;
      while (idle !== 1 && waited < 1000) begin @(negedge clk); waited = waited + 1; end
      write__en = 1; write__mask = ~0;
      for (n = 0; n < ROWS; n = n + 1) begin
        write__row = n; write__data = scales[n];
        @(negedge clk);
      end
      write__en = 0; layer__en = 1;
      @(negedge clk);
      offered = words[2*load]; wanted = words[2*load+1];
@STREAM@      total = total + taken;
      o__ready = 1;
      repeat (4) @(negedge clk);
      if (flags !== flagged[0]) begin
        errors = errors + 1;
        $display("load %0d: flags %h, expected %h", load, flags, flagged[0]);
      end
      if (activity !== counted[0]) begin
        errors = errors + 1;
        $display("load %0d: activity %h, expected %h", load, activity, counted[0]);
      end
    end
    if (waited >= 1000) begin errors = errors + 1; $display("the array stood still in load %0d", load); end
    if (errors == 0) $display("PASS: %0d words of sums in %0d loads", total, LOADS);
    else $display("FAIL: %0d errors in %0d words of sums", errors, total);
    $finish;
  end
endmodule
