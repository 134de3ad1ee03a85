// Binds the assertions of @UNIT@_checker.sv, for simulators and provers that know `bind`.
bind @UNIT@_core @UNIT@_unit_checker #(.COLUMNS(@COLUMNS@), .LATENCY(@LATENCY@)) check_unit (.clk(clk), .rst(rst), .i__valid(i__valid), .i__ready(i__ready), .o__valid(o__valid), .o__ready(o__ready), .idle(idle), .access(write__en | layer__en | host__read));
bind @UNIT@ @UNIT@_stream_checker #(.WIDTH(@IN@), .BACK_PRESSURE_ONLY(1)) check_i (.clk(clk), .rst(rst), .payload(i__payload), .valid(i__valid), .ready(i__ready), .pressed(o__valid & ~o__ready));
bind @UNIT@ @UNIT@_stream_checker #(.WIDTH(@OUT@)) check_o (.clk(clk), .rst(rst), .payload(o__payload), .valid(o__valid), .ready(o__ready), .pressed(1'b0));
bind @UNIT@_apb @UNIT@_stream_checker #(.WIDTH(@IN@)) check_i (.clk(clk), .rst(rst), .payload(i__payload), .valid(i__valid), .ready(i__ready), .pressed(1'b0));
bind @UNIT@_apb @UNIT@_stream_checker #(.WIDTH(@OUT@)) check_o (.clk(clk), .rst(rst), .payload(o__payload), .valid(o__valid), .ready(o__ready), .pressed(1'b0));
