// Where a connection comes from, as Redis prints it: "127.0.0.1:50000", "[::1]:50000",
// "/run/sluice.sock:0".
#pragma once

#include "server/registry/connections.h"

namespace sluice::server {

// Returns the addresses of a connected socket. Errors: std::bad_alloc.
ConnectionAddress AddressOf(int socket);

}  // namespace sluice::server
