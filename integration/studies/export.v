// Plays exported vectors through @UNIT@ and compares every word and every saturation flag. Plain Verilog-2005.
//
// Run in this folder, with @UNIT@.v, a netlist of it, or other RTL with the same ports:
//   iverilog -g2005 -o bench @UNIT@.v bench.v && vvp bench
// Each step loads the parameter store and the layer registers and streams words, with pauses on both sides. The last line
// is PASS or FAIL.

module bench;
  localparam STEPS = @STEPS@, MOST = @MOST@, COLUMNS = @COLUMNS@;

  reg clk, rst, i__valid, o__ready, write__en, layer__en;
  reg [@COLUMN_BITS@-1:0] write__column;
  reg [@MASK_BITS@-1:0] write__mask;
  reg [@WRITE_BITS@-1:0] write__data;
  reg [@LAYER_BITS@-1:0] layer__data;
  reg [@IN_BITS@-1:0] i__payload;
  wire i__ready, o__valid, idle;
  wire [@OUT_BITS@-1:0] o__payload;
  wire [COLUMNS-1:0] flags;

  reg [31:0] counts [0:STEPS-1];
  reg [@WRITE_BITS@-1:0] parameters [0:COLUMNS-1];
  reg [@LAYER_BITS@-1:0] registers [0:0];
  reg [@IN_BITS@-1:0] inputs [0:MOST-1];
  reg [@OUT_BITS@-1:0] outputs [0:MOST-1];
  reg [COLUMNS-1:0] saturated [0:0];
  reg [8*64-1:0] file;
  reg [31:0] random;
  integer step, n, offered, wanted, sent, taken, words, errors, waited;

  @UNIT@ unit (
    .clk(clk), .rst(rst), @LAYER_PORT@
    .i__valid(i__valid), .i__ready(i__ready), .i__payload(i__payload),
    .o__valid(o__valid), .o__ready(o__ready), .o__payload(o__payload),
    .write__en(write__en), .write__column(write__column), .write__mask(write__mask), .write__data(write__data),
    .layer__en(layer__en), .flags(flags), .idle(idle)
  );

  always #5 clk = ~clk;

  task wrong;
    begin
      errors = errors + 1;
      if (errors <= 10)
        $display("step %0d, word %0d: %h, expected %h", step, taken, o__payload, outputs[taken]);
    end
  endtask

  initial begin
    clk = 0; rst = 1; i__valid = 0; o__ready = 1; write__en = 0; layer__en = 0;
    write__column = 0; write__mask = 0; write__data = 0; layer__data = 0; i__payload = 0;
    random = 32'h2545f491; words = 0; errors = 0; taken = 0; waited = 0; step = 0;
    $readmemh("counts.hex", counts);
    repeat (2) @(negedge clk);
    rst = 0;
    for (step = 0; step < STEPS && waited < 1000; step = step + 1) begin
      $sformat(file, "step%0d_parameters.hex", step); $readmemh(file, parameters);
      $sformat(file, "step%0d_layer.hex", step); $readmemh(file, registers);
      $sformat(file, "step%0d_inputs.hex", step); $readmemh(file, inputs, 0, counts[step] - 1);
      $sformat(file, "step%0d_outputs.hex", step); $readmemh(file, outputs, 0, counts[step] - 1);
      $sformat(file, "step%0d_flags.hex", step); $readmemh(file, saturated);
      o__ready = 1;
      while (idle !== 1 && waited < 1000) begin @(negedge clk); waited = waited + 1; end
      write__en = 1; write__mask = ~0;
      for (n = 0; n < COLUMNS; n = n + 1) begin
        write__column = n; write__data = parameters[n];
        @(negedge clk);
      end
      write__en = 0; layer__en = 1; layer__data = registers[0];
      @(negedge clk);
      offered = counts[step]; wanted = counts[step];
@STREAM@      words = words + taken;
      @(negedge clk);
      if (flags !== saturated[0]) begin
        errors = errors + 1;
        $display("step %0d: flags %h, expected %h", step, flags, saturated[0]);
      end
    end
    if (waited >= 1000) begin errors = errors + 1; $display("the unit stood still in step %0d", step); end
    if (errors == 0) $display("PASS: %0d words in %0d steps", words, STEPS);
    else $display("FAIL: %0d errors in %0d words", errors, words);
    $finish;
  end
endmodule
