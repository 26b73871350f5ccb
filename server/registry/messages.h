// The messages in the mailbox of a connection as RESP: those of PUBLISH, and the lines of MONITOR.
#pragma once

#include "resp/reply.h"
#include "server/registry/connections.h"

namespace sluice::server {

// Moves the messages from the mailbox to the reply; those whose subscription has ended are dropped.
// Returns false if there was no memory: the client must not miss a message, so the caller closes
// the connection. REQUIRES: no reply is half written.
// Thread safety: the connection's I/O thread.
[[nodiscard]] bool WriteMessages(ConnectionInfo& connection, resp::Reply& reply) noexcept;

}  // namespace sluice::server
