// Binary16 arithmetic as a specification: written by hand from IEEE 754 in one wide signed integer, in which every finite
// number and every sum is exact. A finite number is sign, exponent e >= 1 and significand m < 2048: m * 2**(e - 25).

`define W 127:0

module spec_unpack (input [15:0] x, output sign, output signed [`W] e, m, output nan, infinite, zero);
  assign sign = x[15];
  assign e = x[14:10] == 0 ? 1 : {1'b0, x[14:10]};
  assign m = x[14:10] == 0 ? {1'b0, x[9:0]} : {2'b01, x[9:0]};
  assign nan = x[14:10] == 31 && x[9:0] != 0;
  assign infinite = x[14:10] == 31 && x[9:0] == 0;
  assign zero = x[14:0] == 0;
endmodule

// The binary16 number nearest to magnitude * 2**(-24 - least), ties to even, without its sign: at most 11 significant
// bits, none finer than 2**-24. `least` is at least 1.
module spec_encode (input signed [`W] magnitude, least, output [14:0] code);
  integer i;
  reg signed [`W] lead;
  always @* begin
    lead = 0;
    for (i = 0; i < 127; i = i + 1) if (magnitude[i]) lead = i;
  end
  wire signed [`W] drop = lead - 10 > least ? lead - 10 : least;
  wire signed [`W] below = magnitude >>> drop, rest = magnitude - (below <<< drop), half = 128'sd1 <<< (drop - 1);
  wire up = rest > half || (rest == half && below[0]);
  wire signed [`W] bits = ((drop - least) <<< 10) + below + up;
  assign code = bits > 15'h7C00 ? 15'h7C00 : bits;
endmodule

// What the multiply part finds out. SHIFT: how far the addend moves right, in bits; 0 where the product is 0 or less than
// a quarter of the addend's least bit, and the exponent is then the addend's and one.
module spec_multiply (
  input [15:0] a, b, c, input signed [`W] made,
  output signed [`W] product_a, product_b, product, addend, shift, exponent,
  output sign, subtract, infinity, output [1:0] special
);
  wire sa, sb, sc, na, nb, nc, ia, ib, ic, za, zb, zc;
  wire signed [`W] ea, eb, ec, mc;
  spec_unpack ua (.x(a), .sign(sa), .e(ea), .m(product_a), .nan(na), .infinite(ia), .zero(za));
  spec_unpack ub (.x(b), .sign(sb), .e(eb), .m(product_b), .nan(nb), .infinite(ib), .zero(zb));
  spec_unpack uc (.x(c), .sign(sc), .e(ec), .m(mc), .nan(nc), .infinite(ic), .zero(zc));
  wire small = za || zb || ea + eb < ec + 1;
  assign product = made, addend = mc;
  assign shift = small ? 0 : ea + eb - ec - 1;
  assign exponent = small ? ec + 1 : ea + eb;
  assign sign = sa != sb, subtract = sign != sc;
  wire invalid = (ia && zb) || (ib && za) || ((ia || ib) && ic && subtract);
  assign special = {ia || ib || ic, na || nb || nc || invalid};
  assign infinity = ia || ib ? sign : sc;
endmodule

// The rest: product * 2**(ep - 50) +- addend * 2**(ec - 25), rounded once. ep - ec - 1 is DISTANCE, a constant here; in
// units of 2**(ep - 90) both are integers.
module spec_sum #(parameter signed DISTANCE = 0) (
  input signed [`W] product, addend, ep,
  input sign, subtract, infinity, input [1:0] special,
  output [15:0] result
);
  wire signed [`W] p = product <<< 40, c = addend <<< (64 - DISTANCE);
  wire signed [`W] sum = subtract ? p - c : p + c;
  wire negative = sum == 0 ? sign && !subtract : sum < 0 ? !sign : sign;
  wire [14:0] code;
  spec_encode encode (.magnitude(sum < 0 ? -sum : sum), .least(66 - ep), .code(code));
  assign result = special[0] ? 16'h7E00 : special[1] ? {infinity, 15'h7C00} : {negative, code};
endmodule

module spec_from_int (input signed [`W] value, output [15:0] result);
  wire [14:0] code;
  wire signed [`W] whole = value < 0 ? -value : value;
  spec_encode encode (.magnitude(whole <<< 25), .least(128'sd1), .code(code));
  assign result = {value < 0, code};
endmodule

module spec_to_int (
  input [15:0] x, input signed [`W] low, high, output signed [`W] code, output lost
);
  wire s, nan, infinite, zero;
  wire signed [`W] e, m;
  spec_unpack u (.x(x), .sign(s), .e(e), .m(m), .nan(nan), .infinite(infinite), .zero(zero));
  wire signed [`W] quanta = m <<< (e - 1);  // of 2**-24
  wire signed [`W] below = quanta >>> 24, rest = quanta - (below <<< 24), half = 128'sd1 <<< 23;
  wire signed [`W] whole = below + (rest > half || (rest == half && below[0]));
  wire signed [`W] value = infinite ? (s ? low - 1 : high + 1) : s ? -whole : whole;
  assign code = nan ? 0 : value < low ? low : value > high ? high : value;
  assign lost = nan || value < low || value > high;
endmodule

module spec_relu16 (input [15:0] result, input enable, output [15:0] positive);
  assign positive = enable && result[15] ? 0 : result;
endmodule
