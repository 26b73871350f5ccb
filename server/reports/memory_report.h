// Where memory is: what INFO and MEMORY STATS tell. All in bytes.
#pragma once

#include <cstdint>

#include "server/dispatch/context.h"

namespace sluice::server {

struct MemoryReport {
  std::int64_t used = 0;         // what maxmemory counts: payload + bookkeeping + clients
  std::int64_t peak = 0;         // the most that `used` was
  std::int64_t limit = 0;        // maxmemory; 0: none
  std::int64_t resident = 0;     // of the process, as the system sees it
  std::int64_t payload = 0;      // runs of the arena that hold values: stored + in_flight
  std::int64_t stored = 0;       // by the store, however many replies pin it
  std::int64_t in_flight = 0;    // only by requests that are being received and replies being sent
  std::int64_t bookkeeping = 0;  // keys, tags, cells, chunks, names
  std::int64_t connections = 0;  // input buffers and reply blocks of the connections
  std::int64_t arena_free = 0;   // touched, kept for the next values
  std::int64_t arena_touched_ahead = 0;
  std::int64_t arena_reserved = 0;  // address space
};

// The parts are read one after another while others go on: they add up only when nobody writes.
MemoryReport ReportMemory(const Server& server);

}  // namespace sluice::server
