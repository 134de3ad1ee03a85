// Drives the compiled model of a scale-factor array: rows of scales, the mode, streams of codes with stalls on both sides.
//
// Words come and go packed, as the ports carry them, in 32-bit pieces. `model.h`, written for each array, names the model's
// class, its ports and their widths. One cycle is one evaluation with the inputs of that cycle (as in driver.cc).

#include <cstdint>
#include <cstring>

#include "model.h"
#define HOLDER (array->model)

namespace {

constexpr size_t pieces(size_t bits) { return (bits + 31) / 32; }

#ifdef CXXRTL
template <size_t B> uint32_t *chunks(cxxrtl::value<B> &port) { return port.data; }
template <size_t B> uint32_t *chunks(cxxrtl::wire<B> &port) { return port.curr.data; }
template <class P> void put(P &port, const uint32_t *bits, size_t width) {
  std::memcpy(chunks(port), bits, 4 * pieces(width));
}
template <class P> void copy(P &port, uint32_t *bits, size_t width) { std::memcpy(bits, chunks(port), 4 * pieces(width)); }
template <class P> void set(P &port, uint32_t bits) { chunks(port)[0] = bits; }
template <class P> uint32_t get(P &port) { return chunks(port)[0]; }
#else
template <size_t W> void put(VlWide<W> &port, const uint32_t *bits, size_t) { std::memcpy(port.data(), bits, 4 * W); }
template <class P> void put(P &port, const uint32_t *bits, size_t width) {
  port = P(width > 32 ? uint64_t(bits[1]) << 32 | bits[0] : bits[0]);
}
template <size_t W> void copy(VlWide<W> &port, uint32_t *bits, size_t) { std::memcpy(bits, port.data(), 4 * W); }
template <class P> void copy(P &port, uint32_t *bits, size_t width) {
  bits[0] = uint32_t(port);
  if (width > 32) bits[1] = uint32_t(uint64_t(port) >> 32);
}
template <class P> void set(P &port, uint32_t bits) { port = P(bits); }
template <class P> uint32_t get(P &port) { return uint32_t(port); }
#endif

struct Array {
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

void *array_new() {
  Array *array = new Array;
  set(PORT_rst, 1);
  set(PORT_i_valid, 0), set(PORT_o_ready, 0), set(PORT_write_en, 0), set(PORT_layer_en, 0);
  array->tick();
  set(PORT_rst, 0);
  array->tick();
  return array;
}

void array_delete(void *handle) { delete static_cast<Array *>(handle); }

uint64_t array_cycles(void *handle) { return static_cast<Array *>(handle)->cycles; }

// Writes every row of scales, then the mode, which clears flags and counters.
void array_load(void *handle, const uint32_t *rows, uint32_t binary) {
  Array *array = static_cast<Array *>(handle);
  uint32_t every[pieces(MASK_BITS)];
  std::memset(every, 255, sizeof every);
  if (MASK_BITS % 32) every[pieces(MASK_BITS) - 1] = (uint32_t(1) << MASK_BITS % 32) - 1;
  set(PORT_i_valid, 0), set(PORT_o_ready, 1), set(PORT_write_en, 1);
  put(PORT_write_mask, every, MASK_BITS);
  for (size_t row = 0; row < ROWS; ++row) {
    set(PORT_write_row, uint32_t(row));
    put(PORT_write_data, rows + row * pieces(ROW_BITS), ROW_BITS);
    array->tick();
  }
  set(PORT_write_en, 0), set(PORT_layer_en, 1), set(PORT_layer_data, binary);
  array->tick();
  set(PORT_layer_en, 0);
}

// Streams `words` words of codes and takes `results` rows of sums; the source rests in `source` of 256 cycles, the sink in
// `sink`. Returns 0, 1 if nothing moved or too much came, or 2 for a model that one evaluation a cycle does not settle.
int array_stream(void *handle, size_t words, const uint32_t *codes, size_t results, uint32_t *sums, uint32_t source,
                 uint32_t sink, uint32_t seed) {
  Array *array = static_cast<Array *>(handle);
  Random random{seed * 2654435761u + 1};
  size_t sent = 0, taken = 0;
  uint64_t moved = array->cycles;
  bool offering = false;
  while (taken < results || sent < words) {
    if (!offering && sent < words && !random.below(source)) {
      put(PORT_i_payload, codes + sent * pieces(CODE_BITS), CODE_BITS);
      offering = true;
    }
    const bool ready = !random.below(sink);
    set(PORT_i_valid, offering), set(PORT_o_ready, ready);
    array->look();
    const bool accepted = offering && get(PORT_i_ready), leaves = ready && get(PORT_o_valid);
    if (leaves) {
      if (taken == results) return 1;
      copy(PORT_o_payload, sums + taken++ * pieces(ROW_BITS), ROW_BITS);
    }
    array->edge();
    if (accepted) ++sent, offering = false;
    if (accepted || leaves) moved = array->cycles;
    if (array->cycles - moved > PATIENCE) return 1;
  }
  set(PORT_i_valid, 0);
  return array->settled ? 0 : 2;
}

// The sticky flags and the activity counters.
void array_state(void *handle, uint32_t *flags, uint32_t *activity) {
  Array *array = static_cast<Array *>(handle);
  set(PORT_i_valid, 0);
  array->look();
  copy(PORT_flags, flags, FLAG_BITS);
  copy(PORT_activity, activity, ACTIVITY_BITS);
  array->edge();
}
}
