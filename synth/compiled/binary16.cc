// Runs compiled binary16 hardware over all operands, or over drawn ones, and compares it with exact integers.
//
// The reference shares nothing with the golden model: a number is an integer of 2^-48, a product of two is exact there,
// a sum too, and one rounding of that integer gives the result. `model.h` tells OPERATION: 0 multiply, 1 add, 2
// multiply-add; 3 integer to binary16 and 4 binary16 to code only tabulate.

#include <cstdint>

#include "model.h"
#define HOLDER (model)

namespace {

#ifdef CXXRTL
template <class P> void set(P &port, uint32_t bits) { port.data[0] = bits; }
template <size_t B> uint32_t get(cxxrtl::value<B> &port) { return port.data[0]; }
template <size_t B> uint32_t get(cxxrtl::wire<B> &port) { return port.curr.data[0]; }
#else
template <class P> void set(P &port, uint32_t bits) { port = bits; }
template <class P> uint32_t get(P &port) { return port; }
#endif

constexpr uint32_t NOT_A_NUMBER = 0x7e00, INFINITE = 0x7c00;

bool is_nan(uint32_t x) { return (x & 0x7fff) > INFINITE; }
bool is_infinite(uint32_t x) { return (x & 0x7fff) == INFINITE; }
bool negative(uint32_t x) { return x >> 15; }

// A finite number in units of 2^-24.
int64_t units(uint32_t x) {
  const uint32_t exponent = x >> 10 & 31, fraction = x & 1023;
  const int64_t size = exponent ? int64_t(fraction | 1024) << (exponent - 1) : fraction;
  return negative(x) ? -size : size;
}

struct Rounded {
  uint32_t bits;
  int highest;    // place of the leading one, in units of 2^-48
  bool near_tie;  // within 2^-6 of the tie, in LSB
};

int leading(unsigned __int128 size) {
  const uint64_t high = uint64_t(size >> 64), low = uint64_t(size);
  return high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll(low);
}

// To nearest, ties to even; not 0.
Rounded round(__int128 exact) {
  const unsigned __int128 size = exact < 0 ? -exact : exact;
  const int highest = leading(size), shift = highest - 10 > 24 ? highest - 10 : 24;
  uint64_t kept = uint64_t(size >> shift);
  const unsigned __int128 rest = size & (((unsigned __int128)1 << shift) - 1), half = (unsigned __int128)1 << (shift - 1);
  const unsigned __int128 off = rest > half ? rest - half : half - rest;
  kept += rest > half || (rest == half && kept & 1);
  const uint64_t packed = kept + (uint64_t(shift - 24) << 10);  // a carry moves into the exponent
  const uint32_t sign = exact < 0 ? 0x8000 : 0;
  return {sign | (packed >= INFINITE ? INFINITE : uint32_t(packed)), highest, off < half >> 5};
}

struct Expected {
  uint32_t bits;
  bool near_tie, cancels, subnormal;
};

bool is_subnormal(uint32_t x) { return !(x >> 10 & 31) && x & 1023; }

Expected multiply_add(uint32_t a, uint32_t b, uint32_t c) {
  const bool sign = negative(a) != negative(b);
  const bool infinite = is_infinite(a) || is_infinite(b);
  Expected found{NOT_A_NUMBER, false, false, is_subnormal(a) || is_subnormal(b) || is_subnormal(c)};
  if (is_nan(a) || is_nan(b) || is_nan(c)) return found;
  if (infinite && (!(a & 0x7fff) || !(b & 0x7fff))) return found;
  if (infinite && is_infinite(c) && sign != negative(c)) return found;
  if (infinite || is_infinite(c)) {
    found.bits = infinite ? INFINITE | (sign ? 0x8000 : 0) : c;
    return found;
  }
  const __int128 product = (__int128)units(a) * units(b), addend = (__int128)units(c) << 24;
  const __int128 exact = product + addend;
  if (!exact) {  // a sum that cancels is +0, one of zeros is -0 where both are
    const bool below = sign && negative(c) && !product && !addend;
    found.bits = below ? 0x8000 : 0, found.cancels = product != 0;
    return found;
  }
  const Rounded rounded = round(exact);
  found.bits = rounded.bits, found.near_tie = rounded.near_tie;
  found.subnormal |= is_subnormal(rounded.bits);
  if (product && addend) {
    const __int128 larger = (product < 0 ? -product : product) > (addend < 0 ? -addend : addend) ? product : addend;
    found.cancels = leading(larger < 0 ? -larger : larger) > rounded.highest + 1;
  }
  return found;
}

Expected expected(uint32_t a, uint32_t b, uint32_t c) {
  if (OPERATION == 0) return multiply_add(a, b, 0x8000);
  if (OPERATION == 1) return multiply_add(a, 0x3c00, c);
  return multiply_add(a, b, c);
}

#if OPERATION < 3
uint32_t made(Model &model, uint32_t a, uint32_t b, uint32_t c) {
  set(PORT_a, a);
#if OPERATION != 1
  set(PORT_b, b);
#endif
#if OPERATION != 0
  set(PORT_c, c);
#endif
  model.eval();
  return get(PORT_result);
}

#endif

struct Random {
  uint64_t state;
  uint32_t draw(uint32_t bits) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return uint32_t(state >> 20) & ((1u << bits) - 1);
  }
};

}  // namespace

// What was compared: pairs or triples, those that differ, near ties, cancelling sums, subnormal numbers, those that are
// one of the three, and the first that differs.
struct Count {
  uint64_t compared, wrong, near_tie, cancels, subnormal, hard;
  uint32_t a, b, c, result;
};

#if OPERATION < 3
static void compare(Model &model, uint32_t a, uint32_t b, uint32_t c, Count *count) {
  const Expected right = expected(a, b, c);
  const uint32_t result = made(model, a, b, c);
  ++count->compared, count->near_tie += right.near_tie, count->cancels += right.cancels;
  count->subnormal += right.subnormal, count->hard += right.near_tie || right.cancels || right.subnormal;
  if (result == right.bits) return;
  if (!count->wrong++) count->a = a, count->b = b, count->c = c, count->result = result;
}

extern "C" {

// All second operands for the first ones from `from` up to `to`.
void binary16_pairs(uint32_t from, uint32_t to, Count *count) {
  Model model;
  for (uint32_t a = from; a < to; ++a)
    for (uint32_t other = 0; other < 65536; ++other) compare(model, a, other, other, count);
}

// Drawn triples: half of any bits, half made to cancel, to tie, or to end among the subnormal numbers.
void binary16_triples(uint64_t seed, uint64_t triples, Count *count) {
  Model model;
  Random random{seed * 0x9e3779b97f4a7c15u + 0x1234567u};
  for (uint64_t n = 0; n < triples; ++n) {
    uint32_t a = random.draw(16), b = random.draw(16), c = random.draw(16);
    switch (random.draw(3)) {
      case 0: {  // the addend is about minus the product
        const uint32_t near = multiply_add(a, b, 0x8000).bits ^ 0x8000;
        c = near + random.draw(3) - 4;
        break;
      }
      case 1: {  // the product is about half the addend's LSB, or an odd number of halves
        const uint32_t exponent = 12 + random.draw(4), split = 5 + random.draw(4) % 15;
        const int other = int(exponent) + 15 - 11 - int(split) + int(random.draw(2));
        c = random.draw(1) << 15 | exponent << 10 | random.draw(10);
        a = random.draw(1) << 15 | split << 10 | (random.draw(1) ? 0 : random.draw(2));
        b = random.draw(1) << 15 | uint32_t(other < 1 ? 1 : other > 30 ? 30 : other) << 10 |
            (random.draw(1) ? 0 : 1023 & (random.draw(2) - 2));
        break;
      }
      case 2: {  // small products and addends
        const uint32_t split = random.draw(4);
        a = (a & 0x83ff) | split << 10, b = (b & 0x83ff) | (random.draw(1) ? 15 - split : random.draw(4)) << 10;
        c = (c & 0x83ff) | random.draw(1) << 10;
        break;
      }
      case 3: a = random.draw(1) << 15 | (random.draw(2) + 13) << 10 | random.draw(10);  // of one size, as sums are
        b = random.draw(1) << 15 | (random.draw(2) + 13) << 10 | random.draw(10);
        c = random.draw(1) << 15 | (random.draw(2) + 13) << 10 | random.draw(10);
        break;
      default: break;
    }
    compare(model, a, b, c & 0xffff, count);
  }
}
}
#else
// The result of every input of 16 bits; a code's `lost` flag stands in bit 16.
extern "C" void binary16_table(uint32_t *results) {
  Model model;
  for (uint32_t x = 0; x < 65536; ++x) {
#if OPERATION == 3
    set(PORT_value, x);
    model.eval();
    results[x] = get(PORT_result);
#else
    set(PORT_x, x);
    model.eval();
    results[x] = get(PORT_result) | get(PORT_lost) << 16;
#endif
  }
}
#endif
