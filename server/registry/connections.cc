#include "server/registry/connections.h"

namespace sluice::server {

void Connections::Join(ConnectionInfo& connection) {
  const MutexLock lock(mutex_);
  clients_.emplace(connection.id, &connection);
}

void Connections::Leave(ConnectionInfo& connection) noexcept {
  const MutexLock lock(mutex_);
  clients_.erase(connection.id);
}

void Connections::Set(std::string& text, std::string value) noexcept {
  const MutexLock lock(mutex_);
  text.swap(value);
}

}  // namespace sluice::server
