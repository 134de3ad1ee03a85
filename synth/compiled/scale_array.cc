// Drives the compiled model of a scale-factor array: rows of scales, the mode, streams of codes with stalls on both sides.
//
// Words come and go packed, as the ports carry them, in 32-bit pieces.

#include "clocked.h"

extern "C" {

// Writes every row of scales, then the mode, which clears flags and counters.
void unit_load(void *handle, const uint32_t *rows, uint32_t binary) {
  Unit *unit = static_cast<Unit *>(handle);
  uint32_t every[pieces(MASK_BITS)];
  std::memset(every, 255, sizeof every);
  if (MASK_BITS % 32) every[pieces(MASK_BITS) - 1] = (uint32_t(1) << MASK_BITS % 32) - 1;
  set(PORT_i_valid, 0), set(PORT_o_ready, 1), set(PORT_write_en, 1);
  put(PORT_write_mask, every, MASK_BITS);
  for (size_t row = 0; row < ROWS; ++row) {
    set(PORT_write_row, uint32_t(row));
    put(PORT_write_data, rows + row * pieces(ROW_BITS), ROW_BITS);
    unit->tick();
  }
  set(PORT_write_en, 0), set(PORT_layer_en, 1), set(PORT_layer_data, binary);
  unit->tick();
  set(PORT_layer_en, 0);
}

// Streams `words` words of codes and takes `results` rows of sums; the source rests in `source` of 256 cycles, the sink in
// `sink`. Returns 0, 1 if nothing moved or too much came, or 2 for a model that one evaluation a cycle does not settle.
int unit_stream(void *handle, size_t words, const uint32_t *codes, size_t results, uint32_t *sums, uint32_t source,
                 uint32_t sink, uint32_t seed) {
  Unit *unit = static_cast<Unit *>(handle);
  Random random{seed * 2654435761u + 1};
  size_t sent = 0, taken = 0;
  uint64_t moved = unit->cycles;
  bool offering = false;
  while (taken < results || sent < words) {
    if (!offering && sent < words && !random.below(source)) {
      put(PORT_i_payload, codes + sent * pieces(CODE_BITS), CODE_BITS);
      offering = true;
    }
    const bool ready = !random.below(sink);
    set(PORT_i_valid, offering), set(PORT_o_ready, ready);
    unit->look();
    const bool accepted = offering && get(PORT_i_ready), leaves = ready && get(PORT_o_valid);
    if (leaves) {
      if (taken == results) return 1;
      copy(PORT_o_payload, sums + taken++ * pieces(ROW_BITS), ROW_BITS);
    }
    unit->edge();
    if (accepted) ++sent, offering = false;
    if (accepted || leaves) moved = unit->cycles;
    if (unit->cycles - moved > PATIENCE) return 1;
  }
  set(PORT_i_valid, 0);
  return unit->settled ? 0 : 2;
}

// The sticky flags and the activity counters.
void unit_state(void *handle, uint32_t *flags, uint32_t *activity) {
  Unit *unit = static_cast<Unit *>(handle);
  set(PORT_i_valid, 0);
  unit->look();
  copy(PORT_flags, flags, FLAG_BITS);
  copy(PORT_activity, activity, ACTIVITY_BITS);
  unit->edge();
}
}
