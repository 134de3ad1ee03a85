// Drives the compiled model of a unit's harness: parameter writes, layer registers, words with stalls on both sides.
//
// The model comes from CXXRTL or Verilator; `model.h`, written for each unit, names its class and its ports, `moves.h` sets
// and reads the ports of the fields. One cycle is one evaluation with the inputs of that cycle: outputs are read before the
// edge, registers change after it.

#include <cstdint>
#include <cstring>

#include "model.h"
#define HOLDER (unit->model)

namespace {

#ifdef CXXRTL
template <size_t B> uint32_t *chunks(cxxrtl::value<B> &port) { return port.data; }
template <size_t B> uint32_t *chunks(cxxrtl::wire<B> &port) { return port.curr.data; }
template <class P> void set(P &port, uint32_t bits) { chunks(port)[0] = bits; }
template <class P> uint32_t get(P &port) { return chunks(port)[0]; }
template <class P> void copy(P &port, uint32_t *bits, size_t words) { std::memcpy(bits, chunks(port), 4 * words); }
#else
template <class P> void set(P &port, uint32_t bits) { port = bits; }
template <class P> uint32_t get(P &port) { return uint32_t(port); }
template <size_t W> void copy(VlWide<W> &port, uint32_t *bits, size_t) { std::memcpy(bits, port.data(), 4 * W); }
template <class P> void copy(P &port, uint32_t *bits, size_t words) {
  bits[0] = uint32_t(port);
  if (words > 1) bits[1] = uint32_t(uint64_t(port) >> 32);
}
#endif

#ifndef CXXRTL
template <size_t W> void put(VlWide<W> &port, const uint32_t *bits) { std::memcpy(port.data(), bits, 4 * W); }
template <class P> void put(P &port, const uint32_t *bits) {
  port = P(sizeof port > 4 ? uint64_t(bits[1]) << 32 | bits[0] : bits[0]);
}
#endif

constexpr size_t words_of(size_t bits) { return (bits + 31) / 32; }

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

#include "moves.h"

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

// Writes columns, one a cycle. Returns 0, or 1 if the unit never became idle.
int unit_write(void *handle, size_t columns, int32_t *const *fields) {
  Unit *unit = static_cast<Unit *>(handle);
  uint64_t waited = 0;
  set(PORT_i_valid, 0), set(PORT_o_ready, 1);
  for (unit->look(); !get(PORT_idle); unit->look()) {
    unit->edge();
    if (++waited > PATIENCE) return 1;
  }
  set(PORT_write_en, 1);
  set(PORT_write_mask, uint32_t((uint64_t(1) << MASK_BITS) - 1));
  for (size_t column = 0; column < columns; ++column) {
    set(PORT_write_column, uint32_t(column));
    write(unit, fields, column);
    unit->tick();
  }
  set(PORT_write_en, 0);
  return 0;
}

void unit_layer(void *handle, int32_t *const *fields) {
  Unit *unit = static_cast<Unit *>(handle);
  set(PORT_layer_en, 1);
  layer(unit, fields, 0);
  unit->tick();
  set(PORT_layer_en, 0);
}

// Streams words; the source rests in `source` of 256 cycles, the sink in `sink`. Returns 0, 1 if nothing moved, or 2 for a
// model that one evaluation a cycle does not settle.
int unit_stream(void *handle, size_t words, int32_t *const *inputs, int32_t *const *outputs, uint32_t source,
                uint32_t sink, uint32_t seed) {
  Unit *unit = static_cast<Unit *>(handle);
  Random random{seed * 2654435761u + 1};
  size_t sent = 0, delivered = 0;
  uint64_t moved = unit->cycles;
  bool offering = false;
  while (delivered < words) {
    if (!offering && sent < words && !random.below(source)) {
      send(unit, inputs, sent);
      offering = true;
    }
    const bool ready = !random.below(sink);
    set(PORT_i_valid, offering);
    set(PORT_o_ready, ready);
    unit->look();
    const bool accepted = offering && get(PORT_i_ready), taken = ready && get(PORT_o_valid);
    if (taken) take(unit, outputs, delivered++);
    unit->edge();
    if (accepted) ++sent, offering = false;
    if (accepted || taken) moved = unit->cycles;
    if (unit->cycles - moved > PATIENCE || delivered > sent) return 1;
  }
  set(PORT_i_valid, 0);
  return unit->settled ? 0 : 2;
}

// The sticky flags, 32 columns a word.
void unit_flags(void *handle, uint32_t *bits) {
  Unit *unit = static_cast<Unit *>(handle);
  set(PORT_i_valid, 0);
  unit->look();
  copy(PORT_flags, bits, words_of(FLAG_BITS));
  unit->edge();
}
}
