// What every driver of a compiled model shares: its ports as 32-bit pieces, its clock, a generator of pauses.
//
// The model comes from CXXRTL or Verilator; `model.h`, written for each unit, names its class and its ports. One cycle is one
// evaluation with the inputs of that cycle: outputs are read before the edge, registers change after it.

#include <cstdint>
#include <cstring>

#include "model.h"
#define HOLDER (unit->model)

namespace {

constexpr size_t pieces(size_t bits) { return (bits + 31) / 32; }

#ifdef CXXRTL
template <size_t B> uint32_t *chunks(cxxrtl::value<B> &port) { return port.data; }
template <size_t B> uint32_t *chunks(cxxrtl::wire<B> &port) { return port.curr.data; }
template <class P> void set(P &port, uint32_t bits) { chunks(port)[0] = bits; }
template <class P> uint32_t get(P &port) { return chunks(port)[0]; }
template <class P> void put(P &port, const uint32_t *bits, size_t width) {
  std::memcpy(chunks(port), bits, 4 * pieces(width));
}
template <class P> void copy(P &port, uint32_t *bits, size_t width) { std::memcpy(bits, chunks(port), 4 * pieces(width)); }
#else
template <class P> void set(P &port, uint32_t bits) { port = P(bits); }
template <class P> uint32_t get(P &port) { return uint32_t(port); }
template <size_t W> void put(VlWide<W> &port, const uint32_t *bits, size_t) { std::memcpy(port.data(), bits, 4 * W); }
template <class P> void put(P &port, const uint32_t *bits, size_t width) {
  port = P(width > 32 ? uint64_t(bits[1]) << 32 | bits[0] : bits[0]);
}
template <size_t W> void copy(VlWide<W> &port, uint32_t *bits, size_t) { std::memcpy(bits, port.data(), 4 * W); }
template <class P> void copy(P &port, uint32_t *bits, size_t width) {
  bits[0] = uint32_t(port);
  if (width > 32) bits[1] = uint32_t(uint64_t(port) >> 32);
}
#endif

struct Unit {
  Model model;
  uint64_t cycles = 0;
  bool settled = true;  // one evaluation was always enough

  // One cycle up to the edge: outputs are those of the inputs that stand.
  void look() {
#ifdef CXXRTL
    model.prev_p_clk.data[0] = 0;
    model.p_clk.data[0] = 1;
    settled &= model.eval();
#else
    model.clk = 0;
    model.eval();
#endif
  }
  // The edge.
  void edge() {
#ifdef CXXRTL
    model.commit();
#else
    model.clk = 1;
    model.eval();
#endif
    ++cycles;
  }
  void tick() { look(), edge(); }
};

struct Random {
  uint32_t state;
  bool below(uint32_t share) {  // of 256
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return (state >> 8 & 255) < share;
  }
};

constexpr uint64_t PATIENCE = 100000;

}  // namespace

extern "C" {

void *unit_new() {
  Unit *unit = new Unit;
  set(PORT_rst, 1);
  set(PORT_i_valid, 0), set(PORT_o_ready, 0), set(PORT_write_en, 0), set(PORT_layer_en, 0);
  unit->tick();
  set(PORT_rst, 0);
  unit->tick();
  return unit;
}

void unit_delete(void *handle) { delete static_cast<Unit *>(handle); }

uint64_t unit_cycles(void *handle) { return static_cast<Unit *>(handle)->cycles; }
}
