#include "server/key_watchers.h"

#include <algorithm>

#include "server/client.h"

namespace sluice::server {
namespace {

void MakeDirty(const std::vector<Client*>& clients) noexcept {
  for (Client* const client : clients) {
    client->transaction.dirty = true;
    client->dirty = true;
  }
}

}  // namespace

void KeyWatchers::Watch(std::string_view name, Client& client) {
  std::vector<std::string>& watched = client.transaction.watched;
  if (std::find(watched.begin(), watched.end(), name) != watched.end()) {
    return;
  }
  watched.reserve(watched.size() + 1);
  std::string kept(name);
  std::vector<Client*>& clients = by_name_[kept];
  try {
    clients.push_back(&client);
  } catch (...) {
    if (clients.empty()) {
      by_name_.erase(by_name_.find(name));
    }
    throw;
  }
  watched.push_back(std::move(kept));
  client.watches = true;
}

void KeyWatchers::Forget(Client& client) noexcept {
  for (const std::string& name : client.transaction.watched) {
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
