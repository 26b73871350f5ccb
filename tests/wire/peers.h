// The servers that a transcript is replayed against: each Peer is one connection to a new, empty
// server.
//
//   InProcess    the server's parts, without a socket
//   OverSocket   a server behind TCP or a Unix socket
//   RealRedis    redis-server as installed
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/live_server.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

class Peer {
 public:
  Peer() = default;
  virtual ~Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Throws if there is no reply.
  virtual Value Ask(const std::vector<std::string>& words) = 0;
  // Returns whether the peer closes the connection without a reply to this.
  virtual bool Closes(const std::vector<std::string>& words) = 0;
};

class InProcess final : public Peer {
 public:
  InProcess() : client_(server_) {}
  Value Ask(const std::vector<std::string>& words) override {
    std::string reply = client_.Run(words);
    if (client_.Get().Blocked()) {  // until its time-out
      server_.GetClock().Advance(1000000);
      reply = client_.Resume();
    }
    return DecodeAll(reply).at(0);
  }
  bool Closes(const std::vector<std::string>& words) override {
    return client_.Run(words).empty() && client_.Closed();
  }

 private:
  TestServer server_;
  TestClient client_;
};

enum class Transport { kTcp, kUnix };

class OverSocket final : public Peer {
 public:
  explicit OverSocket(Transport transport)
      : client_(transport == Transport::kTcp ? server_.Tcp() : server_.Unix()) {}
  Value Ask(const std::vector<std::string>& words) override {
    client_.Send(Encode(words));
    return client_.Receive();
  }
  bool Closes(const std::vector<std::string>& words) override {
    client_.Send(Encode(words));
    return client_.ReceiveUntilClosed().empty();
  }

 private:
  LiveServer server_;
  SocketClient client_;
};

class RealRedis final : public Peer {
 public:
  // With further command line options.
  explicit RealRedis(const std::vector<std::string>& options = {})
      : child_({.name = "redis-server",
                .command = Command(options),
                .environment = {},
                .log = folder_.Path("log")}) {
    child_.AwaitStart([this] {
      try {
        client_ = std::make_unique<SocketClient>(Connect());
      } catch (const std::runtime_error&) {
        return false;
      }
      return true;
    });
  }
  // Opens one more connection.
  SocketClient Connect() { return SocketClient::Unix(folder_.Path("s")); }
  Value Ask(const std::vector<std::string>& words) override {
    client_->Send(Encode(words));
    return client_->Receive();
  }
  bool Closes(const std::vector<std::string>& words) override {
    client_->Send(Encode(words));
    return client_->ReceiveUntilClosed().empty();
  }

 private:
  std::vector<std::string> Command(const std::vector<std::string>& options) {
    std::vector<std::string> command = {"redis-server",
                                        "--port",
                                        "0",
                                        "--unixsocket",
                                        folder_.Path("s"),
                                        "--dir",
                                        folder_.Path(""),
                                        "--save",
                                        "",
                                        "--appendonly",
                                        "no"};
    command.insert(command.end(), options.begin(), options.end());
    return command;
  }

  ScratchFolder folder_;
  Child child_;
  std::unique_ptr<SocketClient> client_;
};

}  // namespace sluice::tests
