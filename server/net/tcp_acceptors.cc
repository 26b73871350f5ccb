#include "server/net/tcp_acceptors.h"

#include <sstream>
#include <string>
#include <utility>

#include <boost/asio/ip/v6_only.hpp>
#include <fmt/format.h>

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

error_code Listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, int backlog) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) {
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (endpoint.address().is_v6()) {
      acceptor.set_option(asio::ip::v6_only(true), error);
    }
    acceptor.bind(endpoint, error);
  }
  if (!error) {
    acceptor.listen(backlog, error);
  }
  if (!error) {
    acceptor.non_blocking(true, error);
  }
  return error;
}

bool IsMissing(const error_code& error) {
  return error == asio::error::address_family_not_supported ||
         error == boost::system::errc::address_not_available;
}

}  // namespace

Result<std::vector<tcp::acceptor>> ListenOnTcp(asio::io_context& context, const Config& config,
                                               std::uint16_t port) {
  std::vector<tcp::acceptor> acceptors;
  std::istringstream addresses(config.bind);
  for (std::string word; addresses >> word;) {
    const bool optional = word.starts_with('-');
    const std::string name = optional ? word.substr(1) : word;
    error_code error;
    const asio::ip::address address = name == "*" ? asio::ip::address(asio::ip::address_v4::any())
                                                  : asio::ip::make_address(name, error);
    tcp::acceptor acceptor(context);
    if (!error) {
      error = Listen(acceptor, {address, port}, static_cast<int>(config.tcp_backlog));
    }
    if (!error) {
      acceptors.push_back(std::move(acceptor));
    } else if (!optional || !IsMissing(error)) {
      return Status(Code::kError,
                    fmt::format("can't listen on {} port {}: {}", name, port, error.message()));
    }
  }
  return acceptors;
}

bool IsLoopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

}  // namespace sluice::server
