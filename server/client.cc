#include "server/client.h"

namespace sluice::server {

void Clients::Join(Client& client) {
  const base::MutexLock lock(mutex_);
  clients_.emplace(client.id, &client);
}

void Clients::Leave(Client& client) noexcept {
  const base::MutexLock lock(mutex_);
  clients_.erase(client.id);
}

void Clients::Set(std::string& text, std::string value) noexcept {
  const base::MutexLock lock(mutex_);
  text.swap(value);
}

}  // namespace sluice::server
