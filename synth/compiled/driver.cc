// Drives the compiled model of a unit's harness: parameter writes, layer registers, words with stalls on both sides.
//
// `moves.h`, written for each unit, sets and reads the ports of the fields.

#include "clocked.h"

namespace {
#include "moves.h"
}

extern "C" {

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
  copy(PORT_flags, bits, FLAG_BITS);
  unit->edge();
}
}
