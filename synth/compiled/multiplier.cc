// Runs a compiled multiplier `product` over all pairs of operands and compares it with shift and add.
//
// `model.h` names its class and ports a, b, y and tells A_BITS, B_BITS, Y_BITS, SIGNED.

#include <cstdint>

#include "model.h"
#define HOLDER (model)

namespace {

#ifdef CXXRTL
template <size_t B> uint32_t *chunks(cxxrtl::value<B> &port) { return port.data; }
template <size_t B> uint32_t *chunks(cxxrtl::wire<B> &port) { return port.curr.data; }
template <class P> void set(P &port, uint64_t bits) {
  chunks(port)[0] = uint32_t(bits);
  if (sizeof port > 4) chunks(port)[1] = uint32_t(bits >> 32);
}
template <class P> uint64_t get(P &port) {
  return sizeof port > 4 ? uint64_t(chunks(port)[1]) << 32 | chunks(port)[0] : chunks(port)[0];
}
#else
template <class P> void set(P &port, uint64_t bits) { port = bits; }
template <class P> uint64_t get(P &port) { return port; }
#endif

constexpr uint64_t mask(unsigned bits) { return (uint64_t(1) << bits) - 1; }

}  // namespace

// Returns 1 and the first wrong pair with what the multiplier gives, else 0.
extern "C" int multiplier_check(int64_t a_lo, int64_t a_hi, int64_t b_lo, int64_t b_hi, int64_t *wrong) {
  static_assert(A_BITS < 63 && B_BITS < 63 && Y_BITS < 63, "one 64-bit number holds each");
  Model model;
  for (int64_t a = a_lo; a <= a_hi; ++a)
    for (int64_t b = b_lo; b <= b_hi; ++b) {
      set(PORT_a, uint64_t(a) & mask(A_BITS));
      set(PORT_b, uint64_t(b) & mask(B_BITS));
      model.eval();
      uint64_t y = get(PORT_y);
      if (SIGNED && y >> (Y_BITS - 1)) y |= ~mask(Y_BITS);
      uint64_t sum = 0;
      for (unsigned bit = 0; bit < B_BITS; ++bit)
        if (b >> bit & 1) sum += uint64_t(a) << bit;
      if (y != sum) return wrong[0] = a, wrong[1] = b, wrong[2] = int64_t(y), 1;
    }
  return 0;
}
