#include "server/key_watchers.h"

#include "server/client.h"

namespace sluice::server {
namespace {

constexpr std::size_t kWatchBytes = 256;  // a watch takes that, and its name twice

void MakeDirty(const std::vector<Client*>& clients) noexcept {
  for (Client* const client : clients) {
    client->transaction.dirty = true;
    client->dirty = true;
  }
}

}  // namespace

void KeyWatchers::Watch(std::string_view name, Client& client) {
  const auto [watched, is_new] = client.transaction.watched.emplace(name);
  if (!is_new) {
    return;
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
  client.transaction.bytes += 2 * name.size() + kWatchBytes;
  client.watches = true;
}

void KeyWatchers::Forget(Client& client) noexcept {
  for (const std::string& name : client.transaction.watched) {
    client.transaction.bytes -= 2 * name.size() + kWatchBytes;
    const auto it = by_name_.find(name);
    std::erase(it->second, &client);
    if (it->second.empty()) {
      by_name_.erase(it);
    }
  }
  client.transaction.watched.clear();
  client.transaction.dirty = false;
  client.watches = false;
  client.dirty = false;
}

void KeyWatchers::NameChanged(std::string_view name) noexcept {
  if (by_name_.empty()) {
    return;
  }
  if (const auto it = by_name_.find(name); it != by_name_.end()) {
    MakeDirty(it->second);
  }
}

void KeyWatchers::AllChanged() noexcept {
  for (const auto& [name, clients] : by_name_) {
    MakeDirty(clients);
  }
}

}  // namespace sluice::server
