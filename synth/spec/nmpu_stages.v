// The stages of the near-memory processing unit as a specification: written by hand from the formulas of the design,
// not from the hardware, in one wide signed integer, so that nothing here can overflow. A value travels with a constant
// fraction: T / 2**(F + k) of the formulas is `total` / 2**(F + MOST), MOST the largest k, so total = T << (MOST - k).
// Products are inputs: the caller gives the product of the operands that are outputs here.
//
//   affine       T = cut(first * scale_p) - cut(second * scale_n) + (offset << (F - offset's fraction + k))
//   accumulate   sum = saturate(round(T / 2**(F + k - g)) + received), or T itself for a column of one tile
//   batch norm   +-(sum * scale) / 2**s + offset, exact
//   residual     total + (residual * scale) / 2**r, exact
//   requantise   y = saturate(floor(round(relu(total)) / 2**cut))
//
// Where the hardware makes two of them in one adder, `spec_affine_accumulate`, `spec_accumulate_relu` and `spec_affine_requantise` are the two
// one behind the other: what that adder does is none of the specification's business.

`define W 127:0

// round(value / 2**BITS): 0 floor, 1 half up, 2 half even, 3 half away from zero; by remainder and comparison.
module spec_round #(parameter BITS = 0, parameter MODE = 1) (input signed [`W] value, output signed [`W] rounded);
  wire signed [`W] below = value >>> BITS;                 // floor
  wire signed [`W] rest = value - (below <<< BITS);        // 0 .. 2**BITS - 1
  wire signed [`W] twice = rest <<< 1;
  wire signed [`W] whole = 128'sd1 <<< BITS;
  wire above = twice > whole, tie = BITS != 0 && twice == whole;
  wire up = MODE == 0 ? 1'b0
          : MODE == 1 ? above | tie
          : MODE == 2 ? above | (tie & below[0])
          : above | (tie & (value > 0));
  assign rounded = up ? below + 1 : below;
endmodule

module spec_saturate (input signed [`W] value, low, high, output signed [`W] kept, output clipped);
  assign kept = value < low ? low : value > high ? high : value;
  assign clipped = kept != value;
endmodule

// Two counts: the flag swaps them before the multiplication, so that scale_p belongs to what is added.
module spec_affine_counts #(
  parameter CUT = 0, SCALE_FRACTION = 7, OFFSET_FRACTION = 1, FRACTION = 7, MOST = 0
) (
  input signed [`W] first, second, scale_p, scale_n, offset, k, added, taken,
  input negate,
  output signed [`W] added_a, added_b, taken_a, taken_b, total
);
  assign added_a = negate ? second : first, added_b = scale_p;
  assign taken_a = negate ? first : second, taken_b = scale_n;
  wire signed [`W] p = (added >>> CUT) <<< CUT, n = (taken >>> CUT) <<< CUT;
  wire signed [`W] t = ((p - n) <<< (FRACTION - SCALE_FRACTION)) + (offset <<< (FRACTION - OFFSET_FRACTION + k));
  assign total = t <<< (MOST - k);
endmodule

// One signed code: the flag negates it. Without a cut its product is that of the code itself, negated: the same number.
module spec_affine_code #(
  parameter CUT = 0, SCALE_FRACTION = 7, OFFSET_FRACTION = 1, FRACTION = 7, MOST = 0
) (
  input signed [`W] first, scale_p, offset, k, added,
  input negate,
  output signed [`W] added_a, added_b, total
);
  assign added_a = CUT != 0 && negate ? -first : first, added_b = scale_p;
  wire signed [`W] product = CUT == 0 && negate ? -added : added;
  wire signed [`W] p = (product >>> CUT) <<< CUT;
  wire signed [`W] t = (p <<< (FRACTION - SCALE_FRACTION)) + (offset <<< (FRACTION - OFFSET_FRACTION + k));
  assign total = t <<< (MOST - k);
endmodule

// x * s of a number x in two's complement, from the product of its bits below the sign: the sign counts -2**PLACE.
module spec_signed_product #(parameter PLACE = 11) (
  input signed [`W] x, s, below,
  output signed [`W] a, b, product
);
  wire negative = x < 0;
  assign a = negative ? x + (128'sd1 <<< PLACE) : x, b = s;
  assign product = negative ? below - (s <<< PLACE) : below;
endmodule

// Either kind of input. PLACE: that of the sign of a code whose product is given without it; 0 where it is whole.
module spec_affine #(
  parameter COUNTS = 1, PLACE = 0, CUT = 0, SCALE_FRACTION = 7, OFFSET_FRACTION = 1, FRACTION = 7, MOST = 0
) (
  input signed [`W] first, second, scale_p, scale_n, offset, k, added, taken,
  input negate,
  output signed [`W] added_a, added_b, taken_a, taken_b, total
);
  generate
    if (COUNTS) begin
      spec_affine_counts #(.CUT(CUT), .SCALE_FRACTION(SCALE_FRACTION), .OFFSET_FRACTION(OFFSET_FRACTION),
                           .FRACTION(FRACTION), .MOST(MOST)) counts (
        .first(first), .second(second), .scale_p(scale_p), .scale_n(scale_n), .offset(offset), .k(k),
        .added(added), .taken(taken), .negate(negate),
        .added_a(added_a), .added_b(added_b), .taken_a(taken_a), .taken_b(taken_b), .total(total));
    end else begin
      wire signed [`W] whole_a, whole_b, low_a, low_b, product;
      spec_signed_product #(.PLACE(PLACE)) sign (
        .x(whole_a), .s(whole_b), .below(added), .a(low_a), .b(low_b), .product(product));
      spec_affine_code #(.CUT(CUT), .SCALE_FRACTION(SCALE_FRACTION), .OFFSET_FRACTION(OFFSET_FRACTION),
                         .FRACTION(FRACTION), .MOST(MOST)) code (
        .first(first), .scale_p(scale_p), .offset(offset), .k(k), .added(PLACE ? product : added), .negate(negate),
        .added_a(whole_a), .added_b(whole_b), .total(total));
      assign added_a = PLACE ? low_a : whole_a, added_b = PLACE ? low_b : whole_b;
      assign taken_a = 0, taken_b = 0;
    end
  endgenerate
endmodule

// `rounded` 0: a column of one tile, whose T is rounded once, at the end. GUARD: fraction bits of a sum.
module spec_accumulate #(
  parameter FRACTION = 7, GUARD = 2, MODE = 1, SATURATES = 1, KEEPS_FRACTION = 1
) (
  input signed [`W] total, received, low, high,
  input rounded,
  output signed [`W] sum,
  output sum_saturated
);
  wire signed [`W] term, kept, whole;
  wire clipped;
  spec_round #(.BITS(FRACTION - GUARD), .MODE(MODE)) compress (.value(total), .rounded(term));
  assign whole = term + received;
  spec_saturate limit (.value(whole), .low(low), .high(high), .kept(kept), .clipped(clipped));
  wire signed [`W] added = SATURATES ? kept : whole;
  assign sum = !rounded ? total : KEEPS_FRACTION ? added <<< (FRACTION - GUARD) : added;
  assign sum_saturated = SATURATES && rounded && clipped;
endmodule

module spec_batch_norm #(
  parameter GUARD = 2, SCALE_FRACTION = 7, OFFSET_FRACTION = 1, FRACTION = 9, MOST = 7
) (
  input signed [`W] total, bn_scale, bn_offset, bn_shift, product,
  input bn_negate,
  output signed [`W] product_a, product_b, normed
);
  assign product_a = total, product_b = bn_scale;
  wire signed [`W] signed_product = bn_negate ? -product : product;
  wire signed [`W] sum = (signed_product <<< (FRACTION - GUARD - SCALE_FRACTION))
                       + (bn_offset <<< (FRACTION - OFFSET_FRACTION + bn_shift));
  assign normed = sum <<< (MOST - bn_shift);
endmodule

module spec_relu (input signed [`W] total, input enable, output signed [`W] positive);
  assign positive = enable && total < 0 ? 0 : total;
endmodule

module spec_residual #(
  parameter TOTAL_FRACTION = 7, SCALE_FRACTION = 7, FINAL_FRACTION = 14
) (
  input signed [`W] total, residual, residual_scale, residual_shift, product,
  input add,
  output signed [`W] product_a, product_b, sum
);
  assign product_a = residual, product_b = residual_scale;
  wire signed [`W] operand = add ? product <<< (FINAL_FRACTION - SCALE_FRACTION - residual_shift) : 0;
  assign sum = (total <<< (FINAL_FRACTION - TOTAL_FRACTION)) + operand;
endmodule

module spec_requantise #(
  parameter FRACTION = 14, MODE = 1, CUT = 0
) (
  input signed [`W] total, low, high,
  input relu_after,
  output signed [`W] code,
  output saturated
);
  wire signed [`W] positive = relu_after && total < 0 ? 0 : total;
  wire signed [`W] rounded, kept;
  spec_round #(.BITS(FRACTION), .MODE(MODE)) last (.value(positive), .rounded(rounded));
  wire signed [`W] short = rounded >>> CUT;
  spec_saturate limit (.value(short), .low(low), .high(high), .kept(kept), .clipped(saturated));
  assign code = kept;
endmodule

module spec_accumulate_relu #(
  parameter FRACTION = 7, GUARD = 2, MODE = 1, SATURATES = 1, KEEPS_FRACTION = 1
) (
  input signed [`W] total, received, low, high,
  input rounded, relu_before,
  output signed [`W] positive,
  output sum_saturated
);
  wire signed [`W] sum;
  spec_accumulate #(.FRACTION(FRACTION), .GUARD(GUARD), .MODE(MODE), .SATURATES(SATURATES),
                    .KEEPS_FRACTION(KEEPS_FRACTION)) accumulate (
    .total(total), .received(received), .low(low), .high(high), .rounded(rounded),
    .sum(sum), .sum_saturated(sum_saturated));
  spec_relu relu (.total(sum), .enable(relu_before), .positive(positive));
endmodule

module spec_affine_accumulate #(
  parameter COUNTS = 1, PLACE = 0, CUT = 0, SCALE_FRACTION = 7, OFFSET_FRACTION = 1, FRACTION = 7, MOST = 0,
  parameter GUARD = 2, MODE = 1, SATURATES = 1, KEEPS_FRACTION = 1
) (
  input signed [`W] first, second, scale_p, scale_n, offset, k, added, taken, received, low, high,
  input negate, rounded, relu_before,
  output signed [`W] added_a, added_b, taken_a, taken_b, positive,
  output sum_saturated
);
  wire signed [`W] total;
  spec_affine #(.COUNTS(COUNTS), .PLACE(PLACE), .CUT(CUT), .SCALE_FRACTION(SCALE_FRACTION),
                .OFFSET_FRACTION(OFFSET_FRACTION), .FRACTION(FRACTION), .MOST(MOST)) affine (
    .first(first), .second(second), .scale_p(scale_p), .scale_n(scale_n), .offset(offset), .k(k),
    .added(added), .taken(taken), .negate(negate),
    .added_a(added_a), .added_b(added_b), .taken_a(taken_a), .taken_b(taken_b), .total(total));
  spec_accumulate_relu #(.FRACTION(FRACTION + MOST), .GUARD(GUARD), .MODE(MODE), .SATURATES(SATURATES),
                         .KEEPS_FRACTION(KEEPS_FRACTION)) accumulate (
    .total(total), .received(received), .low(low), .high(high), .rounded(rounded),
    .relu_before(relu_before), .positive(positive), .sum_saturated(sum_saturated));
endmodule

module spec_affine_requantise #(
  parameter COUNTS = 1, PLACE = 0, CUT = 0, SCALE_FRACTION = 7, OFFSET_FRACTION = 1, FRACTION = 7, MOST = 0,
  parameter MODE = 1, CUT_POST = 0
) (
  input signed [`W] first, second, scale_p, scale_n, offset, k, added, taken, low, high,
  input negate, relu_after,
  output signed [`W] added_a, added_b, taken_a, taken_b, code,
  output saturated
);
  wire signed [`W] total;
  spec_affine #(.COUNTS(COUNTS), .PLACE(PLACE), .CUT(CUT), .SCALE_FRACTION(SCALE_FRACTION),
                .OFFSET_FRACTION(OFFSET_FRACTION), .FRACTION(FRACTION), .MOST(MOST)) affine (
    .first(first), .second(second), .scale_p(scale_p), .scale_n(scale_n), .offset(offset), .k(k),
    .added(added), .taken(taken), .negate(negate),
    .added_a(added_a), .added_b(added_b), .taken_a(taken_a), .taken_b(taken_b), .total(total));
  spec_requantise #(.FRACTION(FRACTION + MOST), .MODE(MODE), .CUT(CUT_POST)) requantise (
    .total(total), .low(low), .high(high), .relu_after(relu_after), .code(code), .saturated(saturated));
endmodule
