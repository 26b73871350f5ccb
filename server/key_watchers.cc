#include "server/key_watchers.h"

#include "server/client.h"
#include "store/store.h"

namespace sluice::server {
namespace {

void MakeDirty(const std::vector<Client*>& clients) noexcept {
  for (Client* const client : clients) {
    client->transaction.dirty = true;
    client->dirty = true;
  }
}

}  // namespace

bool KeyWatchers::Watch(engine::EngineLock& /*lock*/, std::string_view name, Client& client) {
  const auto [watched, is_new] = client.transaction.watched.emplace(name);
  if (!is_new) {
    return false;
  }
  auto it = by_name_.end();
  try {
    it = by_name_.try_emplace(*watched).first;
    it->second.push_back(&client);
  } catch (...) {
    client.transaction.watched.erase(watched);
    if (it != by_name_.end() && it->second.empty()) {
      by_name_.erase(it);
    }
    throw;
  }
  client.transaction.bytes += NameBytes(name);
  return true;
}

void KeyWatchers::Forget(engine::EngineLock& /*lock*/, std::string_view name,
                         Client& client) noexcept {
  const auto watched = client.transaction.watched.find(name);
  const auto it = by_name_.find(name);
  client.transaction.bytes -= NameBytes(name);
  std::erase(it->second, &client);
  if (it->second.empty()) {
    by_name_.erase(it);
  }
  client.transaction.watched.erase(watched);
}

void KeyWatchers::ForgetAll(engine::EngineLock& lock, Client& client) noexcept {
  while (!client.transaction.watched.empty()) {
    Forget(lock, *client.transaction.watched.begin(), client);
  }
  client.transaction.dirty = false;
  client.dirty = false;
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
  for (const auto& [name, clients] : by_name_) {
    if (before.KindOf(name) != store::NameKind::kNone) {
      MakeDirty(clients);
    }
  }
}

}  // namespace sluice::server
