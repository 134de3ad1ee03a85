// Smoke test of @UNIT@_apb: identification, every parameter written and read back, flags cleared, random words through
// random stalls with every assertion on. It compares no arithmetic; that is the regression's part (`nmpu verify`).
// The last line printed is PASS or FAIL.
module @UNIT@_bench;
  localparam IN = @IN@, OUT = @OUT@, COLUMNS = @COLUMNS@, COUNT = @COUNT@, WORDS = 64 * @COLUMNS@;
  localparam IN_CHUNKS = (IN + 31) / 32;
  reg clk = 0, rst = 1;
  reg psel = 0, penable = 0, pwrite = 0;
  reg [@ADDRESS@-1:0] paddr = 0;
  reg [31:0] pwdata = 0;
  wire pready, pslverr;
  wire [31:0] prdata;
  reg [32*IN_CHUNKS-1:0] chunks = 0;
  reg offered = 0, ready = 0;
  wire taken, valid, idle, saturated;
  wire [OUT-1:0] result;
  integer seed = 1, failures = 0, sent = 0, received = 0, n, k;
  reg [31:0] found, written;

  @UNIT@_apb dut (
    .clk(clk), .rst(rst), .apb__psel(psel), .apb__penable(penable), .apb__pwrite(pwrite), .apb__paddr(paddr),
    .apb__pwdata(pwdata), .apb__pstrb(4'hf), .apb__pready(pready), .apb__prdata(prdata), .apb__pslverr(pslverr),
    .i__payload(chunks[IN-1:0]), .i__valid(offered), .i__ready(taken), .o__payload(result), .o__valid(valid),
    .o__ready(ready), .idle(idle), .saturated(saturated));
  @UNIT@_stream_checker #(.WIDTH(IN)) check_i (
    .clk(clk), .rst(rst), .payload(chunks[IN-1:0]), .valid(offered), .ready(taken), .pressed(1'b0));
  @UNIT@_stream_checker #(.WIDTH(OUT)) check_o (
    .clk(clk), .rst(rst), .payload(result), .valid(valid), .ready(ready), .pressed(1'b0));

  always #5 clk = ~clk;

  task check(input [31:0] got, input [31:0] want, input [31:0] address);
    if (got !== want) begin
      failures = failures + 1;
      $display("%0t: address %h holds %h, must be %h", $time, address, got, want);
    end
  endtask

  task transfer(input [31:0] address, input write, input [31:0] data);
    begin
      psel <= 1; penable <= 0; pwrite <= write; paddr <= address; pwdata <= data;
      @(posedge clk) penable <= 1;
      @(posedge clk);
      while (!pready) @(posedge clk);
      found = prdata;
      if (pslverr) begin
        failures = failures + 1;
        $display("%0t: address %h answers with an error", $time, address);
      end
      psel <= 0; penable <= 0;
    end
  endtask

  // One field of every column: what column n holds is a function of n and `salt`.
  function [31:0] pattern(input [31:0] column, input [31:0] salt);
    pattern = (column + salt) * 32'h9e3779b1;
  endfunction

  task write_field(input [31:0] offset, input [31:0] salt);
    for (n = 0; n < COUNT; n = n + 1) transfer(offset + n * @STRIDE@, 1, pattern(n, salt));
  endtask

  task read_field(input [31:0] offset, input [31:0] salt, input [5:0] width, input sign);
    for (n = 0; n < COUNT; n = n + 1) begin
      transfer(offset + n * @STRIDE@, 0, 0);
      written = pattern(n, salt) << (32 - width);
      if (sign) written = $signed(written) >>> (32 - width);
      else written = written >> (32 - width);
      check(found, written, offset + n * @STRIDE@);
    end
  endtask

  always @(posedge clk) begin
    if (valid && ready) received <= received + 1;
    ready <= $random(seed);
  end

  initial begin
    repeat (3) @(posedge clk);
    rst <= 0;
    @(posedge clk);
@FACTS@
@WRITES@
@READS@
@LAYER@
    while (sent < WORDS) begin
      for (k = 0; k < IN_CHUNKS; k = k + 1) chunks[32*k +: 32] <= $random(seed);
      offered <= 1;
      @(posedge clk);
      while (!taken) @(posedge clk);
      sent = sent + 1;
      offered <= 0;
      if (sent % 3 == 0) @(posedge clk);
    end
    while (received < WORDS && $time < 100000000) @(posedge clk);
    repeat (4) @(posedge clk);
    if (received != WORDS || !idle) begin
      failures = failures + 1;
      $display("%0d of %0d words came out, idle is %b", received, WORDS, idle);
    end
    for (n = 0; n < @FLAG_WORDS@; n = n + 1) begin
      transfer(@FLAGS@ + 4 * n, 1, 32'hffffffff);
      transfer(@FLAGS@ + 4 * n, 0, 0);
      check(found, 0, @FLAGS@ + 4 * n);
    end
    failures = failures + check_i.violations + check_o.violations;
    if (failures == 0) $display("PASS");
    else $display("FAIL");
    $finish;
  end
endmodule
