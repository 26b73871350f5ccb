// Shared by Listener and MetricsListener: sockets on the addresses of `bind`.
//
// Thread safety: any thread.
#pragma once

#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/status.h"
#include "server/config/config.h"

namespace sluice::server {

// Listens on this port of each address of `bind`, with non-blocking sockets. An address with a
// leading '-' may be missing from the machine.
// Errors: kError naming the address, the port and the system's reason.
Result<std::vector<boost::asio::ip::tcp::acceptor>> ListenOnTcp(boost::asio::io_context& context,
                                                                const Config& config,
                                                                std::uint16_t port);

// Returns true for a loopback address, also for IPv4 mapped to IPv6.
bool IsLoopback(const boost::asio::ip::address& address);

}  // namespace sluice::server
