// Assertions, all immediate: in simulation they report, for a prover they are obligations, synthesis ignores them.
// A failing one is named by its block, for example `bench.check_o.payload_stays`. Edges under `rst` are left out.
// `violations` counts the edges at which something failed, for a bench that ends with a verdict.
// Icarus Verilog has no `bind`: instantiate these modules beside the unit. @UNIT@_bind.sv binds them elsewhere.

// One ready/valid stream. What its source owes: a word that is offered stays, unchanged, until it is taken.
// What its sink owes: a known `ready`. Where BACK_PRESSURE_ONLY is 1, `pressed` must be 1 wherever `ready` is 0.
module @UNIT@_stream_checker (clk, rst, payload, valid, ready, pressed);
  parameter WIDTH = 8;
  parameter BACK_PRESSURE_ONLY = 0;
  input clk;
  input rst;
  input [WIDTH-1:0] payload;
  input valid;
  input ready;
  input pressed;
  reg waits;
  reg [WIDTH-1:0] held;
  reg [31:0] violations;
  wire known_valid = valid !== 1'bx;
  wire known_ready = ready !== 1'bx;
  wire known_payload = !valid || ^payload !== 1'bx;
  wire kept_valid = !waits || valid;
  wire kept_payload = !waits || payload === held;
  wire free_ready = !BACK_PRESSURE_ONLY || ready || pressed;
  wire all = known_valid && known_ready && known_payload && kept_valid && kept_payload && free_ready;
  initial begin
    waits = 1'b0;
    violations = 0;
  end
  always @(posedge clk) begin
    waits <= valid && !ready && !rst;
    held <= payload;
    if (!rst) begin
      if (all !== 1'b1) violations <= violations + 1;
      begin : valid_is_known assert (known_valid); end
      begin : ready_is_known assert (known_ready); end
      begin : payload_is_known assert (known_payload); end
      begin : valid_stays assert (kept_valid); end
      begin : payload_stays assert (kept_payload); end
      begin : ready_falls_under_pressure assert (free_ready); end
    end
  end
endmodule

// What stands between the streams: every word leaves, once, LATENCY cycles after it came, cycles in which the output waits
// not counted; `idle` is exact; and whoever writes or reads parameters does so while the unit is idle and takes no word.
module @UNIT@_unit_checker (clk, rst, i__valid, i__ready, o__valid, o__ready, idle, access);
  parameter COLUMNS = 1;
  parameter LATENCY = 1;
  input clk;
  input rst;
  input i__valid;
  input i__ready;
  input o__valid;
  input o__ready;
  input idle;
  input access;
  wire accept = i__valid && i__ready;
  wire deliver = o__valid && o__ready;
  reg [LATENCY-1:0] due;  // bit n: a word leaves in LATENCY - 1 - n cycles
  reg [31:0] flying;
  reg [31:0] word;
  reg [31:0] violations;
  wire in_time = o__valid === due[LATENCY-1];
  wire from_something = !o__valid || flying != 0;
  wire none_lost = flying <= LATENCY;
  wire exact_idle = idle === (flying == 0 && word == 0);
  wire safe_access = !access || (idle && !accept);
  wire all = in_time && from_something && none_lost && exact_idle && safe_access;
  initial begin
    violations = 0;
    due = {LATENCY{1'b0}};
    flying = 0;
    word = 0;
  end
  always @(posedge clk) begin
    if (rst) due <= {LATENCY{1'b0}};
    else if (!o__valid || o__ready) due <= (due << 1) | {{LATENCY{1'b0}}, accept};
    flying <= rst ? 0 : flying + {31'b0, accept} - {31'b0, deliver};
    word <= rst ? 0 : !accept ? word : word == COLUMNS - 1 ? 0 : word + 1;
    if (!rst) begin
      if (all !== 1'b1) violations <= violations + 1;
      begin : valid_when_due assert (in_time); end
      begin : no_word_from_nothing assert (from_something); end
      begin : no_word_is_lost assert (none_lost); end
      begin : idle_is_exact assert (exact_idle); end
      begin : parameters_only_while_idle assert (safe_access); end
    end
  end
endmodule
