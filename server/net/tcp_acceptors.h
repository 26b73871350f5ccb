// What the listener of clients and that of metrics share: sockets on the addresses of `bind`.
//
// Thread safety: any thread.
#pragma once

#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/status.h"
#include "server/config/config.h"

namespace sluice::server {

// Listens on this port of each address that `bind` names; they do not block. An address with a '-'
// in front may be missing from the machine.
// Errors: kError naming the address, the port and the system's reason.
Result<std::vector<boost::asio::ip::tcp::acceptor>> ListenOnTcp(boost::asio::io_context& context,
                                                                const Config& config,
                                                                std::uint16_t port);

// Of this machine, also where IPv4 is spelled as IPv6.
bool IsLoopback(const boost::asio::ip::address& address);

}  // namespace sluice::server
