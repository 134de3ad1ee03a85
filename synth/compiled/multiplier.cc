// Runs the gates of a multiplier `product` over all pairs of operands, 512 pairs at a time, and compares every product
// with repeated addition: a * (b + 1) = a * b + a. A number is a row of words, one a bit, and a bit of a word is a lane.
// Where C_BITS is not 0, the multiplier adds c * 2^place + constant: the addition begins there, for every c.
//
// `model.h` brings the function `product(a, b, y)`, or `product(a, b, c, y)`, and tells A_BITS, B_BITS, C_BITS, Y_BITS,
// SIGNED.

#include <algorithm>
#include <cstdint>

typedef uint64_t V __attribute__((vector_size(64)));

#include "model.h"

namespace {

constexpr int LANES = 512, LANE_BITS = 9;
constexpr int WIDE = std::max(A_BITS + B_BITS + 1, Y_BITS);  // nothing overflows in so many bits

V all(bool bit) { return V{} - uint64_t(bit); }

// Returns bit `bit` of the numbers 0 .. 511, one a lane.
V counting(int bit) {
  static const uint64_t inside[6] = {0xAAAAAAAAAAAAAAAA, 0xCCCCCCCCCCCCCCCC, 0xF0F0F0F0F0F0F0F0,
                                     0xFF00FF00FF00FF00, 0xFFFF0000FFFF0000, 0xFFFFFFFF00000000};
  V row{};
  for (int word = 0; word < LANES / 64; ++word)
    row[word] = bit < 6 ? inside[bit] : word >> (bit - 6) & 1 ? ~uint64_t(0) : 0;
  return row;
}

bool any(V row) {
  uint64_t found = 0;
  for (int word = 0; word < LANES / 64; ++word) found |= row[word];
  return found != 0;
}

// Returns what a lane's bits say.
int64_t number(const V *rows, int bits, int lane, bool is_signed) {
  uint64_t value = 0;
  for (int bit = 0; bit < bits; ++bit) value |= uint64_t(rows[bit][lane / 64] >> (lane % 64) & 1) << bit;
  if (is_signed && value >> (bits - 1) & 1) value |= ~uint64_t(0) << bits;
  return int64_t(value);
}

}  // namespace

// Tries one c. Returns 1 and a wrong pair with what the multiplier gives for it, else 0.
static int try_pairs(int64_t a_lo, int64_t a_hi, int64_t b_lo, int64_t b_hi, int64_t c_code, int64_t begin,
                     int64_t *wrong) {
  static_assert(A_BITS < 60 && B_BITS < 60 && Y_BITS < 63, "one 64-bit number holds each");
  V a[WIDE], b[B_BITS], y[WIDE], sum[WIDE];
#if C_BITS
  V c[C_BITS];
  for (int bit = 0; bit < C_BITS; ++bit) c[bit] = all(c_code >> bit & 1);
#endif
  for (int64_t base = a_lo & ~int64_t(LANES - 1); base <= a_hi; base += LANES) {
    for (int bit = 0; bit < WIDE; ++bit) {
      a[bit] = bit < LANE_BITS ? counting(bit) : all(base >> bit & 1);
      if (bit >= A_BITS) a[bit] = SIGNED ? a[A_BITS - 1] : V{};
      sum[bit] = all(begin >> std::min(bit, 63) & 1);
    }
    V asked{};
    for (int lane = 0; lane < LANES; ++lane)
      if (base + lane >= a_lo && base + lane <= a_hi) asked[lane / 64] |= uint64_t(1) << (lane % 64);
    for (int64_t factor = 0; factor <= b_hi; ++factor) {
      if (factor >= b_lo) {
        for (int bit = 0; bit < B_BITS; ++bit) b[bit] = all(factor >> bit & 1);
#if C_BITS
        product(a, b, c, y);
#else
        product(a, b, y);
#endif
        for (int bit = Y_BITS; bit < WIDE; ++bit) y[bit] = SIGNED ? y[Y_BITS - 1] : V{};
        V different{};
        for (int bit = 0; bit < WIDE; ++bit) different |= y[bit] ^ sum[bit];
        if (any(different & asked)) {
          int lane = 0;
          while (!((different & asked)[lane / 64] >> (lane % 64) & 1)) ++lane;
          return wrong[0] = base + lane, wrong[1] = factor, wrong[2] = number(y, Y_BITS, lane, SIGNED), 1;
        }
      }
      V carry{};
      for (int bit = 0; bit < WIDE; ++bit) {
        V either = sum[bit] ^ a[bit], next = (sum[bit] & a[bit]) | (carry & either);
        sum[bit] = either ^ carry;
        carry = next;
      }
    }
  }
  return 0;
}

// Takes the ranges of the operands, none of b negative, and what is added to the product. Returns 1 and a wrong pair with
// what the multiplier gives for it, else 0.
extern "C" int multiplier_check(int64_t a_lo, int64_t a_hi, int64_t b_lo, int64_t b_hi, int64_t c_lo, int64_t c_hi,
                                int64_t place, int64_t constant, int64_t *wrong) {
  for (int64_t c = c_lo; c <= c_hi; ++c)
    if (try_pairs(a_lo, a_hi, b_lo, b_hi, c, c * (int64_t(1) << place) + constant, wrong)) return 1;
  return 0;
}
