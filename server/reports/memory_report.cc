#include "server/reports/memory_report.h"

#include <fstream>

#include <unistd.h>

namespace sluice::server {
namespace {

std::int64_t ResidentBytes() {
  std::ifstream stream("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  stream >> total >> resident;
  return resident * sysconf(_SC_PAGE_SIZE);
}

}  // namespace

MemoryReport ReportMemory(const Server& server) {
  store::Memory& memory = server.memory;
  const store::Arena::Stats arena = memory.GetArena().GetStats();
  const auto announced = static_cast<std::int64_t>(memory.AnnouncedBytes());
  MemoryReport report = {.used = memory.GetBudget().Used(),
                         .peak = memory.GetBudget().Peak(),
                         .limit = server.config.maxmemory,
                         .resident = ResidentBytes(),
                         .payload = static_cast<std::int64_t>(arena.used_bytes) - announced,
                         .stored = static_cast<std::int64_t>(memory.StoredBytes()),
                         .connections = server.client_bytes.load(std::memory_order_relaxed),
                         .arena_free = static_cast<std::int64_t>(arena.free_bytes),
                         .arena_touched_ahead = static_cast<std::int64_t>(arena.touched_bytes),
                         .arena_reserved = static_cast<std::int64_t>(arena.reserved_bytes)};
  report.in_flight = report.payload - report.stored;
  report.bookkeeping = report.used - report.payload - report.connections;
  return report;
}

}  // namespace sluice::server
