#pragma once

#include <string>
#include <utility>

namespace sluice::bench {

// Owns one file descriptor. One caller at a time.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  int number() const { return number_; }

 private:
  int number_ = -1;
};

// Where a program listens: the Unix socket `path` if set, else TCP `port` on the loopback.
struct Endpoint {
  int port = 0;
  std::string path;
};

// These functions throw std::system_error.

// A blocking connection with TCP_NODELAY and without pacing. A receive fails after 20 s without a
// byte, so that an unresponsive server ends the run instead of hanging it.
Fd Connect(const Endpoint& endpoint);

// A non-blocking listener.
Fd Listen(const Endpoint& endpoint);

// Accepts such a connection, but non-blocking and without the time-out; number() is -1 if none is
// pending.
Fd Accept(const Fd& listener);

void SetNonBlocking(const Fd& socket);

// Returns a port that was free a moment ago.
int FreePort();

// Throws std::system_error with errno and `what`.
[[noreturn]] void ThrowErrno(const std::string& what);

}  // namespace sluice::bench
