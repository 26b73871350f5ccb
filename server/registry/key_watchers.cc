#include "server/registry/key_watchers.h"

#include "server/registry/connections.h"
#include "store/store.h"

namespace sluice::server {
namespace {

void MakeDirty(const std::vector<ConnectionInfo*>& connections) noexcept {
  for (ConnectionInfo* const connection : connections) {
    connection->transaction.dirty = true;
    connection->dirty = true;
  }
}

}  // namespace

bool KeyWatchers::Watch(engine::EngineLock& /*lock*/, std::string_view name,
                        ConnectionInfo& connection) {
  const auto [watched, is_new] = connection.transaction.watched.emplace(name);
  if (!is_new) {
    return false;
  }
  auto it = by_name_.end();
  try {
    it = by_name_.try_emplace(*watched).first;
    it->second.push_back(&connection);
  } catch (...) {
    connection.transaction.watched.erase(watched);
    if (it != by_name_.end() && it->second.empty()) {
      by_name_.erase(it);
    }
    throw;
  }
  connection.transaction.bytes += NameBytes(name);
  return true;
}

void KeyWatchers::Forget(engine::EngineLock& /*lock*/, std::string_view name,
                         ConnectionInfo& connection) noexcept {
  const auto watched = connection.transaction.watched.find(name);
  const auto it = by_name_.find(name);
  connection.transaction.bytes -= NameBytes(name);
  std::erase(it->second, &connection);
  if (it->second.empty()) {
    by_name_.erase(it);
  }
  connection.transaction.watched.erase(watched);
}

bool KeyWatchers::ForgetSome(engine::EngineLock& lock, ConnectionInfo& connection) noexcept {
  constexpr int kNamesMax = 500;
  for (int names = 0; !connection.transaction.watched.empty(); ++names) {
    if (names == kNamesMax) {
      return true;
    }
    Forget(lock, *connection.transaction.watched.begin(), connection);
  }
  connection.transaction.dirty = false;
  connection.dirty = false;
  return false;
}

void KeyWatchers::OnNameChanged(std::string_view name) noexcept {
  if (by_name_.empty()) {
    return;
  }
  if (const auto it = by_name_.find(name); it != by_name_.end()) {
    MakeDirty(it->second);
  }
}

void KeyWatchers::OnAllRemoved(store::Store& before) noexcept {
  for (const auto& [name, connections] : by_name_) {
    if (before.KindOf(name) != store::NameKind::kNone) {
      MakeDirty(connections);
    }
  }
}

}  // namespace sluice::server
