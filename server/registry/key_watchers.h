// KeyWatchers: WATCH: the connections to notify when the value of a name changes.
//
// Thread safety: the holder of the engine lock.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "engine/engine_lock.h"
#include "store/partition/listener.h"

namespace sluice::server {

struct ConnectionInfo;

class KeyWatchers final : public store::Listener {
 public:
  explicit KeyWatchers(std::uint64_t seed) : by_name_(0, TextHash{seed}) {}

  // From now until Forget(), a change of `name` makes the connection's transaction dirty. Returns
  // false if the connection already watches it. Errors: std::bad_alloc; nothing changed then.
  bool Watch(engine::EngineLock& lock, std::string_view name, ConnectionInfo& connection)
      REQUIRES(engine::engine_role);
  // REQUIRES: the connection watches `name`.
  void Forget(engine::EngineLock& lock, std::string_view name, ConnectionInfo& connection) noexcept
      REQUIRES(engine::engine_role);
  // Forgets some hundred of the names that the connection watches. Returns true if there are more.
  bool ForgetSome(engine::EngineLock& lock, ConnectionInfo& connection) noexcept
      REQUIRES(engine::engine_role);

  void OnNameChanged(std::string_view name) noexcept override;
  void OnAllRemoved(store::Store& before) noexcept override;

 private:
  std::unordered_map<std::string, std::vector<ConnectionInfo*>, TextHash, std::equal_to<>> by_name_;
};

}  // namespace sluice::server
