// Memory usage, as reported by INFO and MEMORY STATS. All numbers are in bytes.
#pragma once

#include <cstdint>

#include "server/dispatch/context.h"

namespace sluice::server {

struct MemoryReport {
  std::int64_t used = 0;         // counts in maxmemory: payload + bookkeeping + connections
  std::int64_t peak = 0;         // the maximum of `used`
  std::int64_t limit = 0;        // maxmemory; 0 if there is no limit
  std::int64_t resident = 0;     // resident memory of the process, as the system reports it
  std::int64_t payload = 0;      // runs of the arena that hold values: stored + in_flight
  std::int64_t stored = 0;       // values in the store, even if replies pin them, too
  std::int64_t in_flight = 0;    // values only in requests being received and replies being sent
  std::int64_t bookkeeping = 0;  // keys, tags, cells, chunks, names
  std::int64_t connections = 0;  // input buffers and reply blocks of the connections
  std::int64_t arena_free = 0;   // touched memory, kept for later values
  std::int64_t arena_touched_ahead = 0;
  std::int64_t arena_reserved = 0;  // address space
};

// The numbers are read one after another while other threads run: they add up only if there are no
// concurrent writes.
MemoryReport ReportMemory(const Server& server);

}  // namespace sluice::server
