#include "server/dispatch/server.h"

#include <limits>
#include <random>

#include "base/log.h"

namespace sluice::server {

std::size_t ArenaReserveBytes() {
  return static_cast<std::size_t>(MachineMemoryBytes()) * 4;
}

std::size_t ArenaKeepBytes(const Config& config) {
  const std::int64_t keep = config.arena_keep;
  return keep == 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(keep);
}

void ApplyConfig(Server& server) {
  const Config& config = server.config;
  server.memory.GetBudget().SetLimit(config.maxmemory == 0 ? store::Budget::kNoLimit
                                                           : config.maxmemory.load());
  server.memory.GetArena().SetPrealloc(static_cast<std::size_t>(config.prealloc));
  server.memory.GetArena().SetKeep(ArenaKeepBytes(config));
  server.wants_password = !config.requirepass.empty();
  SetLogLevel(config.loglevel);
}

std::string NewRunId() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::random_device random;
  std::string id;
  for (int i = 0; i < 40; ++i) {
    id += kDigits[random() % kDigits.size()];
  }
  return id;
}

}  // namespace sluice::server
